/* SPDX-License-Identifier: Apache-2.0 */
/* WWW-Authenticate (RFC 9110, 11.6.1): what a registry wants before it answers. */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"

enum challenge_scheme { CHALLENGE_OTHER, CHALLENGE_BASIC, CHALLENGE_BEARER };

struct challenge {
	enum challenge_scheme scheme;
	char *realm, *service, *scope, *error; /* NULL if absent */
};
void challenge_fini(struct challenge *c);
void challenges_fini(struct vec *list); /* of struct challenge */

/* Append the challenges of one header value to out (VEC_OF(struct challenge)). ERR_INVALID on a malformed
 * value: nothing is added. */
MUST_USE struct err *challenge_parse(struct str value, struct vec *out);
/* The first Basic or Bearer; NULL if none. Borrowed. */
const struct challenge *challenge_choose(const struct vec *list);
