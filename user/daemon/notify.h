/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Telling the service manager how it stands, by the protocol of sd_notify(3): a
 * datagram to the socket that $NOTIFY_SOCKET names. It is ten lines of code; a
 * library for them would be one more that runs as root.
 */
#ifndef THR_NOTIFY_H
#define THR_NOTIFY_H

/* Send lines such as "READY=1\nSTATUS=..."; nothing without $NOTIFY_SOCKET. Returns
 * 0, or a negative errno when it did not get there, within a second. */
int thr_notify(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
