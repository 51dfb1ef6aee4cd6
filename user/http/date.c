/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Dates, written by hand and not by strftime(), whose words follow the locale; see date.h. */
#include "http/date.h"

#include <stdio.h>
#include <time.h>

#include "core/clock.h"

#define YEAR_9999_END_S 253402300799ULL /* beyond, the year has five digits */
#define LOOK_NS THR_NS_PER_S		/* how long the wall clock may step unnoticed */

void thr_http_date_format(uint64_t seconds, char text[static THR_HTTP_DATE_TEXT])
{
	static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	time_t time = (time_t)(seconds < YEAR_9999_END_S ? seconds : YEAR_9999_END_S);
	struct tm tm = {0};

	gmtime_r(&time, &tm);
	/* Reduced to what they are anyway, so that the compiler sees that it fits. */
	snprintf(text, THR_HTTP_DATE_TEXT, "%s, %02u %s %04u %02u:%02u:%02u GMT",
		 days[(unsigned int)tm.tm_wday % 7], (unsigned int)tm.tm_mday % 100,
		 months[(unsigned int)tm.tm_mon % 12], (unsigned int)(tm.tm_year + 1900) % 10000,
		 (unsigned int)tm.tm_hour % 100, (unsigned int)tm.tm_min % 100,
		 (unsigned int)tm.tm_sec % 100);
}

uint64_t thr_wall_ns(struct thr_wall *wall, uint64_t now_ns)
{
	if (!wall->ahead_ns || now_ns - wall->looked_ns > LOOK_NS) {
		wall->ahead_ns = thr_clock_wall_ns() - thr_clock_monotonic_ns();
		wall->looked_ns = now_ns;
	}
	return now_ns + wall->ahead_ns;
}

const char *thr_wall_date(struct thr_wall *wall, uint64_t now_ns)
{
	uint64_t now_s = thr_wall_ns(wall, now_ns) / THR_NS_PER_S;

	if (now_s != wall->date_s) {
		wall->date_s = now_s;
		thr_http_date_format(now_s, wall->date);
	}
	return wall->date;
}
