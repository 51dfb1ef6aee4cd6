/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Files that block: all of it, whatever signals come. */
#ifndef THR_FILE_H
#define THR_FILE_H

#include <stddef.h>

/* Returns 0 or a negative errno, with a part of it written. */
int thr_file_write(int fd, const void *bytes, size_t size);

/* Returns 0, -EIO when there are fewer, or another negative errno. */
int thr_file_read(int fd, void *bytes, size_t size);

#endif
