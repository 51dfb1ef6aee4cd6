/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See board.h. */
#include "daemon/board.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define READ_TRIES 1000

struct block {
	uint32_t sequence;
	struct thr_facts facts;
};

struct thr_board {
	struct block *block;
	int fd;
};

/* F_SEAL_FUTURE_WRITE: the mapping that there is can be written to, and no other one. */
static int make_block(struct thr_board *board)
{
	void *block;

	board->fd = memfd_create("xdp-throttle board", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (board->fd < 0 || ftruncate(board->fd, sizeof(*board->block)))
		return -errno;
	block = mmap(NULL, sizeof(*board->block), PROT_READ | PROT_WRITE, MAP_SHARED, board->fd, 0);
	if (block == MAP_FAILED)
		return -errno;
	board->block = block;
	return fcntl(board->fd, F_ADD_SEALS,
		     F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)
		       ? -errno
		       : 0;
}

int thr_board_new(struct thr_board **ret_board)
{
	struct thr_board *board = calloc(1, sizeof(*board));
	int r;

	if (!board)
		return -ENOMEM;
	r = make_block(board);
	if (r)
		thr_board_free(board);
	else
		*ret_board = board;
	return r;
}

void thr_board_free(struct thr_board *board)
{
	if (!board)
		return;
	if (board->block)
		munmap(board->block, sizeof(*board->block));
	if (board->fd >= 0)
		close(board->fd);
	free(board);
}

int thr_board_read_only(struct thr_board *board)
{
	void *block = mmap(board->block, sizeof(*board->block), PROT_READ, MAP_SHARED | MAP_FIXED,
			   board->fd, 0);

	if (block == MAP_FAILED)
		return -errno;
	close(board->fd);
	board->fd = -1;
	return 0;
}

void thr_board_write(struct thr_board *board, const struct thr_facts *facts)
{
	uint32_t sequence = board->block->sequence | 1;

	__atomic_store_n(&board->block->sequence, sequence, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_RELEASE);
	board->block->facts = *facts;
	__atomic_store_n(&board->block->sequence, sequence + 1, __ATOMIC_RELEASE);
}

bool thr_board_read(const struct thr_board *board, struct thr_facts *ret_facts)
{
	for (int try = 0; try < READ_TRIES; try++) {
		uint32_t sequence = __atomic_load_n(&board->block->sequence, __ATOMIC_ACQUIRE);
		struct thr_facts facts = board->block->facts;

		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (sequence & 1 ||
		    __atomic_load_n(&board->block->sequence, __ATOMIC_RELAXED) != sequence)
			continue;
		*ret_facts = facts;
		return true;
	}
	return false;
}
