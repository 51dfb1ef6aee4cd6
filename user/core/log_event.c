/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See log_event.h. */
#include "core/log_event.h"

#include <stdio.h>
#include <time.h>

#include "core/clock.h"

static struct {
	enum thr_log_level level;
	enum thr_log_format format;
	char name[THR_EVENT_NAME_MAX + 1];
} settings = {.level = THR_LOG_INFO, .format = THR_LOG_TEXT};

static const char *const level_names[] = {
	[THR_LOG_DEBUG] = "debug",
	[THR_LOG_INFO] = "info",
	[THR_LOG_WARNING] = "warning",
	[THR_LOG_ERROR] = "error",
};

void thr_log_setup(enum thr_log_level level, enum thr_log_format format)
{
	settings.level = level;
	__atomic_store_n(&settings.format, format, __ATOMIC_RELAXED); /* threads read it too */
}

bool thr_log_enabled(enum thr_log_level level)
{
	return level >= settings.level;
}

enum thr_log_format thr_log_current_format(void)
{
	return __atomic_load_n(&settings.format, __ATOMIC_RELAXED);
}

void thr_log_name(const char *name)
{
	snprintf(settings.name, sizeof(settings.name), "%s", name);
}

/* With THR_EVENT_ESCAPED(length of `from`) bytes at `to`. */
static void escape(char *to, const char *from, bool is_json)
{
	for (; *from; from++) {
		unsigned char byte = (unsigned char)*from;

		if (is_json && (byte == '"' || byte == '\\'))
			to += sprintf(to, "\\%c", byte);
		else if (byte >= ' ' && byte <= '~' && byte != '\\')
			*to++ = (char)byte;
		else
			to += sprintf(to, is_json ? "\\u%04x" : "\\x%02x", byte);
	}
	*to = '\0';
}

size_t thr_event_format(char *line, enum thr_log_level level, const char *message)
{
	uint64_t wall_ns = thr_clock_wall_ns();
	time_t seconds = (time_t)(wall_ns / THR_NS_PER_S);
	unsigned int ms = (unsigned int)(wall_ns % THR_NS_PER_S / THR_NS_PER_MS);
	char moment[32], name[THR_EVENT_ESCAPED(THR_EVENT_NAME_MAX)],
		text[THR_EVENT_ESCAPED(THR_EVENT_MESSAGE_MAX)];
	bool is_json = thr_log_current_format() == THR_LOG_JSON;
	struct tm utc;

	gmtime_r(&seconds, &utc);
	strftime(moment, sizeof(moment), "%Y-%m-%dT%H:%M:%S", &utc);
	escape(name, settings.name, is_json);
	escape(text, message, is_json);
	if (is_json)
		return (size_t)sprintf(line,
				       "{\"time\":\"%s.%03uZ\",\"level\":\"%s\",\"process\":\"%s\","
				       "\"message\":\"%s\"}\n",
				       moment, ms, level_names[level], name, text);
	return (size_t)sprintf(line, "%s.%03uZ %s%s%s: %s\n", moment, ms, level_names[level],
			       *name ? " " : "", name, text);
}
