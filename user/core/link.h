/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Circular lists of structures that have the link inside: a head, and items. */
#ifndef THR_LINK_H
#define THR_LINK_H

#include <stdbool.h>
#include <stddef.h>

struct thr_link {
	struct thr_link *next, *prev;
};

/* The structure that a member is in. */
#define THR_CONTAINER(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

static inline void thr_link_init(struct thr_link *link)
{
	link->next = link->prev = link;
}

static inline bool thr_link_is_empty(const struct thr_link *link)
{
	return link->next == link;
}

static inline void thr_link_add_first(struct thr_link *head, struct thr_link *item)
{
	item->next = head->next;
	item->prev = head;
	head->next->prev = item;
	head->next = item;
}

static inline void thr_link_add_last(struct thr_link *head, struct thr_link *item)
{
	item->prev = head->prev;
	item->next = head;
	head->prev->next = item;
	head->prev = item;
}

/* Safe for an item that is in no list but was initialized. */
static inline void thr_link_remove(struct thr_link *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	thr_link_init(item);
}

#endif
