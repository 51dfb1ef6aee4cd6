/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The nearest name by edit distance, where swapped neighbours count as one edit
 * (optimal string alignment), because that is how names are mistyped.
 */
#include "core/suggest.h"

#include <string.h>

#define NAME_LENGTH_MAX 80 /* longer ones have no suggestion */
#define DISTANCE_MAX 3	   /* and no more than half of the name */

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Three rows of the table suffice: the one in work and the two above it. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t rows[3][NAME_LENGTH_MAX + 1];
	size_t a_length = strlen(a), b_length = strlen(b);

	for (size_t j = 0; j <= b_length; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= a_length; i++) {
		size_t *row = rows[i % 3], *above = rows[(i - 1) % 3];

		row[0] = i;
		for (size_t j = 1; j <= b_length; j++) {
			row[j] = smaller(above[j], row[j - 1]) + 1;
			row[j] = smaller(row[j], above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = smaller(row[j], rows[(i - 2) % 3][j - 2] + 1);
		}
	}
	return rows[a_length % 3][b_length];
}

void thr_suggestion_offer(struct thr_suggestion *suggestion, const char *name)
{
	size_t length = strlen(suggestion->wanted);
	size_t distance;

	if (length > NAME_LENGTH_MAX || strlen(name) > NAME_LENGTH_MAX)
		return;
	distance = edit_distance(suggestion->wanted, name);
	if (distance > DISTANCE_MAX || distance * 2 > length)
		return;
	if (!suggestion->nearest || distance < suggestion->distance) {
		suggestion->nearest = name;
		suggestion->distance = distance;
	}
}
