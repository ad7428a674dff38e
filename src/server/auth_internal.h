/* SPDX-License-Identifier: Apache-2.0 */
/* Who is asking: tokens in the Authorization header, as bearer or as the password of any user. */
#pragma once

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/map.h"
#include "http/server.h"
#include "server/bearer.h"
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
	struct map *used;      /* token id -> int64_t: when it was shown last; under lock */
	struct bearer_key key; /* empty: not read yet; under lock */
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
	struct token token; /* no name unless KNOWN, and where the server is open; admin has all scopes */
	bool open;          /* known without a token */
	/* Showed a bearer token of the registry: that is all it is for, and for what was granted. */
	bool limited;
	struct grants grants;
};
void caller_init(struct caller *c);
void caller_fini(struct caller *c);
/* Who shows that text. *out is initialized; its state stays when it is nobody's. */
MUST_USE struct err *auth_judge(struct auth *a, struct str shown, struct caller *out);
/* Who asks. *out is for caller_fini also after an error. */
MUST_USE struct err *auth_check(struct auth *a, const struct http_exchange *x, struct caller *out);
/* The same; the caller becomes the exchange's note. */
MUST_USE struct err *auth_caller(struct auth *a, struct http_exchange *x, const struct caller **out);
/* What a caller may do with a repository: by its token, and by what it was granted. The empty name: of the
 * catalog. */
unsigned caller_rights(const struct caller *c, const char *repository);
unsigned caller_granted(const struct caller *c, const char *repository);
MUST_USE struct err *auth_key(struct auth *a, struct bearer_key *out);

/* The token of an Authorization header: "Bearer T", or "Basic" with T as the password. False for other
 * schemes and for what cannot be read; nothing added, true: it says "nobody" (no user and password, or the
 * bearer that the registry's token address gives to nobody). */
bool auth_read_header(const char *header, struct buf *token);
#define AUTH_NOBODY "anonymous"

/* May this address be listened at without tokens: is it on the loopback interface? */
bool auth_listen_is_loopback(const char *listen);
