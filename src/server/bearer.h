/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bearer tokens of the registry: what clients get for a token at the distribution API's token address. They
 * last for half an hour and allow what was asked for, never more than the token does at the time of use: with
 * the token they end. Nothing is kept of them; they are signed with a key of the store. Threads: any.
 */
#pragma once

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"
#include "server/tokens.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

#define BEARER_PREFIX "cooper-bearer_"
#define BEARER_LASTS (1800 * CLOCK_SECOND)
#define GRANTS_MAX 16

/* Rights at one repository; the empty name is the catalog, with RIGHT_PULL. */
struct grant {
	char *repository;
	unsigned rights;
};
struct grants {
	struct vec list; /* of struct grant, at most GRANTS_MAX */
};
void grants_init(struct grants *g);
void grants_fini(struct grants *g);
unsigned grants_of(const struct grants *g, const char *repository);

/*
 * Add what t may do of a scope parameter: "repository:<name>:pull,push registry:catalog:*" (blanks between
 * several). t NULL: nobody may anything. What is not understood, and what is not allowed, is left out.
 */
void grants_add_scope(struct grants *g, const struct token *t, struct str scope);

struct bearer_key {
	char text[65];
};
/* The store's, made when there is none. */
MUST_USE struct err *bearer_key_get(struct store *s, struct bearer_key *out);

/* Of the token with that id, until then. Grants that a header has no room for are left out. */
void bearer_write(const struct bearer_key *key, const char *id, int64_t expires, const struct grants *g,
	struct buf *out);
/* False: not ours, changed or expired. *out is the caller's either way. */
bool bearer_read(const struct bearer_key *key, struct str text, int64_t now, char id[TOKEN_ID_LEN + 1],
	struct grants *out);
