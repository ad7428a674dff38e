/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What JSON bodies of requests say, checked: every key known, every value of its type and within its bounds.
 * Pure. Errors: ERR_INVALID naming the key. Texts of *out are the caller's to free.
 */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "base/json.h"
#include "server/tokens.h"

struct token_request {
	struct token token; /* name, scopes */
	int64_t lasts;      /* ns from now; 0: for ever */
};
void token_request_fini(struct token_request *t);
MUST_USE struct err *body_token(const json_t *o, struct token_request *out);
