/* SPDX-License-Identifier: Apache-2.0 */
/* Fetching bearer tokens (the "Token Authentication Specification" of distribution): GET, or the OAuth2 form
 * with a refresh token. */
#pragma once

#include "remote/access.h"

struct token_request {
	struct endpoint *endpoint;
	const char *base; /* the registry's own URL */
	const struct challenge *challenge;
	const struct strvec *scopes;
	const struct credential *credential;
	const struct transfer_io *io;
};
/* ERR_DENIED when credentials are refused, or when sending them there would not be safe. Failures that may
 * pass were tried again: for the caller they are final (err_tries). */
MUST_USE struct err *token_fetch(const struct token_request *rq, struct token *out);
