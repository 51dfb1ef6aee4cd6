/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The log, in a child whose standard output and standard error are pipes or files
 * of the test. The child's part returns true when all was as it should be.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "support/run.h"

#define RING_BYTES (1 << 20)

static pid_t start_child(bool (*part)(void), int out, int err)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid)
		return pid;
	signal(SIGPIPE, SIG_IGN);
	alarm(60);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	closefrom(3);
	_exit(part() ? 0 : 1);
}

static void assert_child_succeeds(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* All that comes until the end of the file, with a NUL. */
static char *read_all(int fd)
{
	size_t size = 0, room = 8 << 20;
	char *text = malloc(room + 1);
	ssize_t got;

	assert_non_null(text);
	while ((got = read(fd, text + size, room - size)) > 0)
		size += (size_t)got;
	text[size] = '\0';
	close(fd);
	return text;
}

/* What the child's part writes to both streams. */
struct outcome {
	char *out, *err;
};

static struct outcome outcome_of(bool (*part)(void))
{
	struct outcome outcome;
	int out[2], err[2];
	pid_t pid;

	assert_int_equal(pipe2(out, O_CLOEXEC) | pipe2(err, O_CLOEXEC), 0);
	pid = start_child(part, out[1], err[1]);
	close(out[1]);
	close(err[1]);
	outcome.err = read_all(err[0]);
	outcome.out = read_all(out[0]);
	assert_child_succeeds(pid);
	return outcome;
}

static void outcome_free(struct outcome *outcome)
{
	free(outcome->out);
	free(outcome->err);
}

static bool put_request(const char *text)
{
	size_t length = strlen(text);
	char *line = thr_log_reserve(length);

	if (line) {
		memcpy(line, text, length);
		thr_log_commit(length);
	}
	return line != NULL;
}

/* --- what an event looks like --- */

static bool log_without_thread(void)
{
	thr_log_name("master");
	thr_log(THR_LOG_DEBUG, "not written");
	thr_log(THR_LOG_INFO, "up on port %d", 8080);
	thr_log_setup(THR_LOG_WARNING, THR_LOG_TEXT);
	thr_log(THR_LOG_INFO, "not written");
	thr_log_name("");
	thr_log(THR_LOG_ERROR, "a\nb\x1b[2Jc\x7f\xff \"d\" \\");
	return put_request("a request\n") && !thr_log_enabled(THR_LOG_INFO) &&
	       thr_log_enabled(THR_LOG_WARNING) && thr_log_current_format() == THR_LOG_TEXT;
}

static void before_the_start_lines_are_written_at_once(void **state)
{
	struct outcome outcome = outcome_of(log_without_thread);
	char day[11];
	time_t now = time(NULL);

	(void)state;
	strftime(day, sizeof(day), "%Y-%m-%d", gmtime(&now));
	assert_memory_equal(outcome.err, day, 8); /* not the day: midnight may pass */
	assert_int_equal(outcome.err[10], 'T');
	assert_int_equal(outcome.err[19], '.');
	assert_int_equal(outcome.err[23], 'Z');
	assert_string_equal(strchr(outcome.err, '\n') + 26,
			    "error: a\\x0ab\\x1b[2Jc\\x7f\\xff \"d\" \\x5c\n");
	*strchr(outcome.err, '\n') = '\0';
	assert_string_equal(outcome.err + 24, " info master: up on port 8080");
	assert_string_equal(outcome.out, "a request\n");
	outcome_free(&outcome);
}

static bool log_json(void)
{
	char every[256], long_text[3000];

	for (int i = 1; i < 256; i++)
		every[i - 1] = (char)i;
	every[255] = '\0';
	memset(long_text, '\1', sizeof(long_text));
	long_text[sizeof(long_text) - 1] = '\0';
	thr_log_setup(THR_LOG_DEBUG, THR_LOG_JSON);
	thr_log_name("worker \"1\", and more than 31 bytes of it");
	if (thr_log_start() < 0)
		return false;
	thr_log(THR_LOG_DEBUG, "%s", every);
	thr_log(THR_LOG_WARNING, "%s", long_text);
	thr_log_stop(10000);
	return true;
}

static void assert_json_event(const char *line, const char *level, size_t message_length)
{
	json_t *event = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

	assert_non_null(event);
	assert_int_equal(json_object_size(event), 4);
	assert_int_equal(json_string_length(json_object_get(event, "time")), 24);
	assert_string_equal(json_string_value(json_object_get(event, "level")), level);
	assert_string_equal(json_string_value(json_object_get(event, "process")),
			    "worker \"1\", and more than 31 by");
	assert_int_equal(json_string_length(json_object_get(event, "message")), message_length);
	json_decref(event);
}

static void events_in_json_are_json_whatever_is_in_them(void **state)
{
	struct outcome outcome = outcome_of(log_json);
	char *second = strchr(outcome.err, '\n') + 1;

	(void)state;
	assert_ptr_equal(strchr(second, '\n') + 1, strchr(second, '\0'));
	second[-1] = '\0';
	assert_json_event(outcome.err, "debug", 127 + 2 * 128); /* as UTF-8 */
	assert_json_event(second, "warning", 1000);
	outcome_free(&outcome);
}

/* --- with the threads --- */

static bool log_with_turns(void)
{
	if (thr_log_start() < 0 || thr_log_start() != -EALREADY)
		return false;
	if (thr_log_turn(1000) != -1)
		return false;
	put_request("one\n");
	if (thr_log_turn(1000) != 100 || thr_log_turn(1060) != 40)
		return false;
	put_request("two\n");
	if (thr_log_turn(1099) != 1 || thr_log_turn(1100) != -1 || thr_log_turn(1101) != -1)
		return false;
	thr_log(THR_LOG_ERROR, "three");
	if (thr_log_turn(1102) != -1)
		return false;
	put_request("four\n");
	thr_log_stop(10000);
	thr_log(THR_LOG_ERROR, "five");
	return put_request("six\n");
}

static void requests_are_handed_over_within_100_ms_and_events_at_once(void **state)
{
	struct outcome outcome = outcome_of(log_with_turns);

	(void)state;
	assert_string_equal(outcome.out, "one\ntwo\nfour\nsix\n");
	assert_non_null(strstr(outcome.err, "Z error: three\n"));
	assert_non_null(strstr(outcome.err, "Z error: five\n"));
	outcome_free(&outcome);
}

static bool log_until_told_otherwise(void)
{
	char line[101];
	uint64_t lost = 0;

	memset(line, 'x', 99);
	strcpy(line + 99, "\n");
	if (thr_log_start() < 0)
		return false;
	for (int i = 0; i < 100000; i++)
		lost += !put_request(line);
	thr_log_turn(1);
	thr_log(THR_LOG_ERROR, "lost %llu", (unsigned long long)lost);
	/* Events come through although nobody reads the requests. */
	for (uint64_t now_ms = 2; read(STDIN_FILENO, line, 1) < 0 && errno == EAGAIN; now_ms++) {
		const struct timespec ms = {.tv_nsec = 1000000};

		thr_log_turn(now_ms);
		nanosleep(&ms, NULL);
	}
	/* Now that there is a reader, the note comes by itself. */
	for (uint64_t now_ms = 100000; thr_log_turn(now_ms) >= 0; now_ms += 1000) {
		const struct timespec ms = {.tv_nsec = 1000000};

		nanosleep(&ms, NULL);
	}
	thr_log_stop(10000);
	return true;
}

static void nobody_who_reads_late_holds_up_the_loop_and_what_was_lost_is_said(void **state)
{
	int out[2], err[2], go[2];
	char event[256] = "", *text;
	unsigned long long lost = 0, told = 0;
	size_t lines = 0, notes = 0;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(out, 0) | pipe2(err, 0) | pipe2(go, O_NONBLOCK), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dup2(go[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		dup2(err[1], STDERR_FILENO);
		closefrom(3);
		alarm(60);
		_exit(log_until_told_otherwise() ? 0 : 1);
	}
	close(out[1]);
	close(err[1]);
	close(go[0]);
	assert_true(read(err[0], event, sizeof(event) - 1) > 0);
	assert_int_equal(sscanf(strstr(event, "lost"), "lost %llu", &lost), 1);
	assert_true(lost > 100000 - RING_BYTES / 100 - 2 * 65536 / 100);
	assert_true(lost < 100000);
	assert_int_equal(write(go[1], "!", 1), 1);
	text = read_all(out[0]);
	assert_child_succeeds(pid);

	/* Once for each time that there was room again. */
	for (char *note = text; (note = strstr(note, "Z warning: ")); note++, notes++) {
		unsigned long long some = 0;

		assert_int_equal(sscanf(note, "Z warning: %llu log lines lost", &some), 1);
		told += some;
	}
	assert_true(notes >= 1);
	assert_int_equal(told, lost);
	for (char *at = text; (at = strchr(at, '\n')); at++)
		lines++;
	assert_int_equal(lines, 100000 - lost + notes);
	assert_int_equal(text[strlen(text) - 1], '\n');
	free(text);
	close(err[0]);
	close(go[1]);
}

static bool log_lines_of_many_lengths(void)
{
	static char line[16384];

	if (thr_log_start() < 0)
		return false;
	for (size_t i = 0; i < 2000; i++) {
		size_t length = i % 100 == 99 ? 12000 : 2 + i * 37 % 700;

		memset(line, 'a' + (int)(i % 26), length);
		line[length - 1] = '\n';
		line[length] = '\0';
		while (!put_request(line))
			thr_log_turn(1);
	}
	thr_log_stop(10000);
	return true;
}

/* A pipe in packet mode (pipe(7), O_DIRECT) keeps apart what was written apart. */
static void a_pipe_gets_whole_lines_of_at_most_pipe_buf_bytes(void **state)
{
	static char packet[65536];
	int out[2];
	size_t lines = 0, packets = 0;
	ssize_t got;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(out, O_DIRECT), 0);
	pid = start_child(log_lines_of_many_lengths, out[1], STDERR_FILENO);
	close(out[1]);
	while ((got = read(out[0], packet, sizeof(packet))) > 0) {
		size_t here = 0;

		assert_true(got <= PIPE_BUF);
		for (ssize_t i = 0; i < got; i++)
			here += packet[i] == '\n';
		lines += here;
		packets++;
		/* A write over PIPE_BUF comes as packets of that size and a rest. */
		assert_true(packet[got - 1] == '\n' || (got == PIPE_BUF && !here));
	}
	close(out[0]);
	assert_child_succeeds(pid);
	assert_int_equal(lines, 2000);
	assert_true(packets < 500);
}

static bool log_to_a_reader_that_is_gone(void)
{
	char line[] = "a line that nobody will ever read\n";

	if (thr_log_start() < 0)
		return false;
	for (uint64_t i = 0; i < 200000; i++) {
		put_request(line);
		if (i % 1000 == 0) {
			thr_log(THR_LOG_ERROR, "nor this");
			thr_log_turn(i);
		}
	}
	thr_log_stop(10000);
	return true;
}

static void a_reader_that_is_gone_does_no_harm(void **state)
{
	int out[2];
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(out, 0), 0);
	close(out[0]);
	pid = start_child(log_to_a_reader_that_is_gone, out[1], out[1]);
	close(out[1]);
	assert_child_succeeds(pid);
}

static bool stop_while_nobody_reads(void)
{
	uint64_t start_ns = thr_clock_monotonic_ns();
	char line[] = "a line\n";

	if (thr_log_start() < 0)
		return false;
	for (int i = 0; i < 100000; i++)
		put_request(line);
	thr_log_stop(50);
	/* What hangs is left behind; later lines do not wait for it either. */
	for (int i = 0; i < 100000; i++)
		put_request(line);
	return thr_clock_monotonic_ns() - start_ns < 20 * THR_NS_PER_S;
}

static void stopping_takes_no_longer_than_it_may(void **state)
{
	int out[2];
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(out, 0), 0);
	pid = start_child(stop_while_nobody_reads, out[1], STDERR_FILENO);
	assert_child_succeeds(pid);
	close(out[0]);
	close(out[1]);
}

static bool log_into_a_file(void)
{
	return log_lines_of_many_lengths();
}

static void two_processes_share_a_file_without_mixing_lines(void **state)
{
	char path[] = "/tmp/thr-log-XXXXXX", *text;
	int file = mkostemp(path, O_APPEND);
	pid_t one, other;

	(void)state;
	assert_true(file >= 0);
	unlink(path);
	one = start_child(log_into_a_file, file, STDERR_FILENO);
	other = start_child(log_into_a_file, file, STDERR_FILENO);
	assert_child_succeeds(one);
	assert_child_succeeds(other);
	lseek(file, 0, SEEK_SET);
	text = read_all(file);
	for (char *at = text; *at;) {
		char *end = strchr(at, '\n');

		assert_non_null(end);
		for (char *byte = at; byte < end; byte++)
			assert_int_equal(*byte, *at);
		at = end + 1;
	}
	free(text);
}

/* Two lines to a disk that has room for a part of the first, then one that it has room
 * for. */
static bool log_to_a_full_disk(bool with_threads)
{
	struct rlimit limit = {.rlim_cur = 40, .rlim_max = RLIM_INFINITY};

	signal(SIGXFSZ, SIG_IGN);
	if ((with_threads && thr_log_start()) || setrlimit(RLIMIT_FSIZE, &limit))
		return false;
	thr_log(THR_LOG_ERROR, "the first one");
	thr_log(THR_LOG_ERROR, "the second one");
	if (with_threads)
		thr_log_stop(10000);
	limit.rlim_cur = RLIM_INFINITY;
	if (setrlimit(RLIMIT_FSIZE, &limit) || (with_threads && thr_log_start()))
		return false;
	thr_log(THR_LOG_ERROR, "the third one");
	thr_log(THR_LOG_ERROR, "the fourth one");
	if (with_threads)
		thr_log_stop(10000);
	return true;
}

static bool log_to_a_full_disk_at_once(void)
{
	return log_to_a_full_disk(false);
}

static bool log_to_a_full_disk_by_threads(void)
{
	return log_to_a_full_disk(true);
}

static void lines_that_could_not_be_written_are_counted(void **state)
{
	static bool (*const parts[])(void) = {log_to_a_full_disk_at_once,
					      log_to_a_full_disk_by_threads};
	static const char *const said[] = {
		"warning: 2 log lines lost here: they could not be written\n",
		"error: the third one\n", "error: the fourth one\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		char path[] = "/tmp/thr-log-XXXXXX", *text, *at;
		int file = mkostemp(path, O_APPEND);

		assert_true(file >= 0);
		unlink(path);
		assert_child_succeeds(start_child(parts[i], STDOUT_FILENO, file));
		lseek(file, 0, SEEK_SET);
		text = read_all(file);
		assert_int_equal(text[40], '\n'); /* the end of the line that was torn */
		at = text + 41;
		for (size_t j = 0; j < ARRAY_SIZE(said); j++) {
			assert_memory_equal(at + 25, said[j], strlen(said[j]));
			at += 25 + strlen(said[j]);
		}
		assert_string_equal(at, "");
		free(text);
	}
}

static bool fork_in_between(void)
{
	int status;
	pid_t pid;

	if (thr_log_start() || !put_request("before\n"))
		return false;
	pid = fork();
	if (!pid) {
		thr_log_forget();
		if (thr_log_start() || !put_request("of the child\n"))
			_exit(1);
		thr_log_stop(10000);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status || !put_request("after\n"))
		return false;
	thr_log_stop(10000);
	return true;
}

static void a_child_has_lines_of_its_own(void **state)
{
	struct outcome outcome = outcome_of(fork_in_between);

	(void)state;
	assert_string_equal(outcome.out, "of the child\nbefore\nafter\n");
	outcome_free(&outcome);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(before_the_start_lines_are_written_at_once),
		cmocka_unit_test(events_in_json_are_json_whatever_is_in_them),
		cmocka_unit_test(requests_are_handed_over_within_100_ms_and_events_at_once),
		cmocka_unit_test(nobody_who_reads_late_holds_up_the_loop_and_what_was_lost_is_said),
		cmocka_unit_test(a_pipe_gets_whole_lines_of_at_most_pipe_buf_bytes),
		cmocka_unit_test(a_reader_that_is_gone_does_no_harm),
		cmocka_unit_test(stopping_takes_no_longer_than_it_may),
		cmocka_unit_test(lines_that_could_not_be_written_are_counted),
		cmocka_unit_test(a_child_has_lines_of_its_own),
		cmocka_unit_test(two_processes_share_a_file_without_mixing_lines),
	};

	return THR_RUN_TESTS(tests, argc, argv);
}
