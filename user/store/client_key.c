/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Keys of addresses; see client_key.h. */
#include "store/client_key.h"

#include <string.h>

/* An address' first bytes, and their number at its end, where no group has a byte of its own: no
 * group is taken for one of another length or of the other family. */
static struct thr_hash group_of(const struct thr_hash_key *scope, const struct thr_address *client,
				size_t bytes)
{
	uint8_t name[sizeof(client->bytes)] = {0};
	struct thr_hash group;

	memcpy(name, client->bytes, bytes);
	name[sizeof(name) - 1] = (uint8_t)bytes;
	memcpy(&group, name, sizeof(group));
	return thr_hash_in(scope, group);
}

void thr_client_key(const struct thr_hash_key *scope, const struct thr_address *client,
		    struct thr_memory_key *ret_key)
{
	if (thr_address_is_v4(client)) {
		ret_key->key = thr_hash(scope, client->bytes, 16); /* of the mapped form: /32 */
		ret_key->group[0] = group_of(scope, client, 15);
		ret_key->group[1] = group_of(scope, client, 14);
	} else {
		ret_key->key = thr_hash(scope, client->bytes, 8);
		ret_key->group[0] = group_of(scope, client, 6);
		ret_key->group[1] = group_of(scope, client, 4);
	}
}
