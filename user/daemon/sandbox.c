/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The system calls of a worker.
 *
 * Three answers, by what a call tells:
 *
 *   on the list             allowed, some for certain arguments only
 *   of the list `hostile`   the process is killed: neither this program nor a
 *                           library of it has a use for one, so somebody else's
 *                           code is running
 *   any other               ENOSYS, as from a kernel that lacks it: a C library newer
 *                           than this list then takes the older call, and what has
 *                           none fails on its own, without the worker's other
 *                           connections. EPERM would not be understood that way.
 *
 * New processes are not on the list: clone() is for threads, and clone3(), whose
 * flags a filter cannot see, does not exist. Files are opened for reading only:
 * the resolver's configuration, and the system's certificates. Sockets are of IPv4, IPv6 and
 * Unix, connect, and listen only where the master made them so. What the log's threads are made of
 * exists before.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/privileges.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
	__has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* What F_GETFL gives beside what was asked for; the C library hides it where all files
 * may be large. */
#define KERNEL_LARGEFILE 0100000

static const int allowed[] = {
	/* bytes */
	SCMP_SYS(read),
	SCMP_SYS(readv),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(close),
	SCMP_SYS(lseek),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(statx),
	/* sockets */
	SCMP_SYS(accept4),
	SCMP_SYS(connect),
	SCMP_SYS(shutdown),
	SCMP_SYS(getsockname),
	SCMP_SYS(getpeername),
	SCMP_SYS(getsockopt),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendmmsg),
	/* waiting and time */
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_pwait2),
	SCMP_SYS(eventfd2),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(nanosleep),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(time),
	SCMP_SYS(restart_syscall),
	/* memory and threads */
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(brk),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(rseq),
	SCMP_SYS(sched_yield),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	/* signals to itself, and what can be asked without harm */
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(uname),
	SCMP_SYS(sysinfo),
	SCMP_SYS(getrandom),
};

static const int hostile[] = {
	SCMP_SYS(execve),
	SCMP_SYS(execveat),
	SCMP_SYS(ptrace),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(bpf),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(mount),
	SCMP_SYS(umount2),
	SCMP_SYS(pivot_root),
	SCMP_SYS(chroot),
	SCMP_SYS(setns),
	SCMP_SYS(unshare),
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(kexec_load),
	SCMP_SYS(add_key),
	SCMP_SYS(keyctl),
	SCMP_SYS(io_uring_setup),
	SCMP_SYS(setuid),
	SCMP_SYS(setresuid),
	SCMP_SYS(capset),
};

#define SOCKET_TYPE 0xf /* of what socket() takes beside flags */
#define IS(argument, mask, value) SCMP_CMP((argument), SCMP_CMP_MASKED_EQ, (mask), (value))
#define EQUALS(argument, value) IS((argument), UINT32_MAX, (value))

/* Allowed when one argument, or two, masked, have a value. */
static const struct {
	int call;
	unsigned int count;
	struct scmp_arg_cmp arguments[2];
} conditional[] = {
	{SCMP_SYS(openat), 1, {IS(2, O_ACCMODE | O_CREAT | O_TRUNC | __O_TMPFILE, O_RDONLY)}},
	{SCMP_SYS(socket), 1, {EQUALS(0, AF_INET)}},
	{SCMP_SYS(socket), 1, {EQUALS(0, AF_INET6)}},
	/* To Redis. */
	{SCMP_SYS(socket), 2, {EQUALS(0, AF_UNIX), IS(1, SOCKET_TYPE, SOCK_STREAM)}},
	{SCMP_SYS(setsockopt), 2, {EQUALS(1, SOL_SOCKET), EQUALS(2, SO_LINGER)}},
	{SCMP_SYS(setsockopt), 2, {EQUALS(1, IPPROTO_TCP), EQUALS(2, TCP_NODELAY)}},
	{SCMP_SYS(mmap), 1, {IS(2, PROT_EXEC, 0)}},
	{SCMP_SYS(mprotect), 1, {IS(2, PROT_EXEC, 0)}},
	{SCMP_SYS(clone), 1, {IS(0, CLONE_THREAD, CLONE_THREAD)}},
	{SCMP_SYS(fcntl), 1, {EQUALS(1, F_GETFL)}},
	/* Flags are those of the open file: one that blocked would block whoever else
	 * has it. Nothing but O_NONBLOCK, and that on. */
	{SCMP_SYS(fcntl),
	 2,
	 {EQUALS(1, F_SETFL), IS(2, UINT32_MAX & ~(O_ACCMODE | KERNEL_LARGEFILE), O_NONBLOCK)}},
	{SCMP_SYS(fcntl), 1, {EQUALS(1, F_GETFD)}},
	{SCMP_SYS(fcntl), 1, {EQUALS(1, F_SETFD)}},
	{SCMP_SYS(prctl), 1, {EQUALS(0, PR_SET_NAME)}},
	{SCMP_SYS(prlimit64), 1, {IS(2, UINT64_MAX, 0)}}, /* no new limit: asking only */
};

/* A call that this architecture does not have needs no rule. */
static int accept_missing(int r)
{
	return r == -EDOM ? 0 : r;
}

static int add_rules(scmp_filter_ctx filter)
{
	const scmp_datum_t self = (scmp_datum_t)getpid();
	int r = 0;

	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]) && !r; i++)
		r = accept_missing(seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0));
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]) && !r; i++)
		r = accept_missing(seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, hostile[i], 0));
	for (size_t i = 0; i < sizeof(conditional) / sizeof(conditional[0]) && !r; i++)
		r = accept_missing(seccomp_rule_add_array(filter, SCMP_ACT_ALLOW,
							  conditional[i].call, conditional[i].count,
							  conditional[i].arguments));
	/* What raise() and abort() do. */
	if (!r)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				     SCMP_CMP(0, SCMP_CMP_MASKED_EQ, UINT32_MAX, self));
	return r;
}

bool thr_sandbox_exists(void)
{
	return !SANITIZED;
}

int thr_sandbox_enter(struct thr_error *error)
{
	scmp_filter_ctx filter;
	int r;

	if (!thr_sandbox_exists())
		return 0;
	filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
	if (!filter)
		return thr_fail(error, ENOMEM, "the filter of system calls: %s", strerror(ENOMEM));
	r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (!r)
		r = add_rules(filter);
	if (!r)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r ? thr_fail(error, -r, "the filter of system calls: %s", strerror(-r)) : 0;
}
