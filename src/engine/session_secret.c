/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "engine/session_internal.h"
#include "sys/file.h"

#include <string.h>

#define SALT_FILE "secret-salt"
#define SALT_BYTES 32

/* Made once for the store: hashes of equal values are equal in it, and mean nothing without it. */
static struct err *read_salt(struct store *st, struct buf *out)
{
	struct store_lock *lock AUTO(store_unlockp) = NULL;
	char fresh[2 * SALT_BYTES + 1];
	bool there = false;

	TRY(store_lock(st, SALT_FILE, false, NULL, NULL, &lock));
	TRY(file_exists(store_dirfd(st), SALT_FILE, &there));
	if (there)
		return file_read(store_dirfd(st), SALT_FILE, sizeof(fresh), out);
	random_hex(fresh, SALT_BYTES);
	buf_adds(out, fresh);
	return file_replace(store_dirfd(st), SALT_FILE, fresh, strlen(fresh), 0600, true);
}

struct err *session_hash_secret(struct session *s, struct str value, char **out)
{
	AUTO(hasher_freep) struct hasher *h = hasher_new(DIGEST_SHA256);
	AUTO_BUF struct buf salt = {0};
	struct digest d;
	char hex[DIGEST_TEXT_MAX];

	TRY(read_salt(s->engine->store, &salt));
	hasher_add_field(h, buf_str(&salt));
	hasher_add_field(h, value);
	hasher_finish(h, &d);
	*out = mem_strdup(digest_hex(&d, hex));
	return NULL;
}
