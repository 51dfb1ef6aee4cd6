/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Scope-bound ownership: a variable declared with one of these is released when
 * its scope ends, on every path. Handing it on is said with TAKE_PTR/TAKE_FD.
 */
#ifndef THR_CLEANUP_H
#define THR_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void thr_cleanup_free(void *pointer)
{
	free(*(void **)pointer);
}

static inline void thr_cleanup_close(const int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void thr_cleanup_fclose(FILE **file)
{
	if (*file)
		fclose(*file);
}

#define CLEANUP(function) __attribute__((cleanup(function)))
#define AUTO_FREE CLEANUP(thr_cleanup_free)
#define AUTO_CLOSE CLEANUP(thr_cleanup_close)
#define AUTO_FCLOSE CLEANUP(thr_cleanup_fclose)

#define TAKE_PTR(pointer)                                                                          \
	({                                                                                         \
		__auto_type taken = (pointer);                                                     \
		(pointer) = NULL;                                                                  \
		taken;                                                                             \
	})
#define TAKE_FD(fd)                                                                                \
	({                                                                                         \
		int taken = (fd);                                                                  \
		(fd) = -1;                                                                         \
		taken;                                                                             \
	})

#endif
