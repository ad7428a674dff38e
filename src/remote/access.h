/* SPDX-License-Identifier: Apache-2.0 */
/* What a request carries to be let in: Basic credentials or a bearer token for its scopes, as the registry's
 * challenge asks for. */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "remote/remote_internal.h"

#include <stdbool.h>
#include <stdint.h>

/* A token for a set of scopes. */
struct token {
	char *value;
	int64_t expires; /* monotonic ns */
};
void token_free(void *p);

/* Credentials of a repository and where they were looked for. */
struct looked_up {
	struct credential credential;
	struct strvec looked;
};
void looked_up_free(void *p);

/* The header for a call now ("Authorization: ..."), NULL with success for none. asked: a scope named by the
 * refusal of an earlier try, or NULL. Caller frees. May block on the token server and on credential helpers.
 */
MUST_USE struct err *access_header(const struct call *c, const char *base, const char *asked, char **out);
/* Take note of a 401 to a call that carried the header used (NULL: none). *again when another try has a
 * chance; *asked is then the scope named (caller frees, may be NULL). */
MUST_USE struct err *access_refused(const struct call *c, const char *base, const struct http_response *r,
	const char *used, bool *again, char **asked);
/* Forget what was looked up and granted, for credentials that changed. */
void access_forget(struct endpoint *ep);
/* What to tell about credentials after a denial. Caller frees. */
char *access_story(struct endpoint *ep, const char *repository);
/* Are both URLs of one scheme, host and port? */
bool urls_same_origin(const char *a, const char *b);
