/* SPDX-License-Identifier: Apache-2.0 */
/* Who is asking: tokens in the Authorization header, as bearer or as the password of any user. */
#pragma once

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/map.h"
#include "http/server.h"
#include "server/tokens.h"
#include "store/store.h"

#include <pthread.h>
#include <stdbool.h>

struct auth {
	struct store *store;
	bool open_allowed; /* while there is no token, everybody may do everything */
	bool loopback;     /* it listens there only */
	bool anonymous_pull;
	pthread_mutex_t lock;
	struct map *used; /* token id -> int64_t: when it was shown last; under lock */
};
/* The three flags are the caller's to set. */
void auth_init(struct auth *a, struct store *s);
void auth_fini(struct auth *a);
/* Write down when tokens were used: apart from requests, which would wait for a gc's transaction. */
MUST_USE struct err *auth_flush(struct auth *a);

enum caller_state {
	CALLER_NOBODY, /* showed nothing */
	CALLER_WRONG,  /* showed what is no valid token */
	CALLER_KNOWN,
};
struct caller {
	enum caller_state state;
	char *name;      /* of the token; NULL unless KNOWN, and where the server is open */
	unsigned scopes; /* 0 unless KNOWN; admin has all */
	bool open;       /* known without a token */
};
void caller_fini(struct caller *c);
MUST_USE struct err *auth_check(struct auth *a, const struct http_exchange *x, struct caller *out);

/* The token of an Authorization header: "Bearer T", or "Basic" with T as the password. False for other
 * schemes and for what cannot be read; nothing added, true: it says "nobody" (no user and password, or the
 * bearer that the registry's token address gives to nobody). */
bool auth_read_header(const char *header, struct buf *token);
#define AUTH_NOBODY "anonymous"

/* May this address be listened at without tokens: is it on the loopback interface? */
bool auth_listen_is_loopback(const char *listen);
