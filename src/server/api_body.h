/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What JSON bodies of requests say, checked: every key known, every value of its type and within its bounds.
 * Pure. Errors: ERR_INVALID naming the key. Texts of *out are the caller's to free.
 */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "base/json.h"
#include "base/vec.h"
#include "release/runs.h"
#include "server/tokens.h"

struct token_request {
	struct token token; /* name, scopes */
	int64_t lasts;      /* ns from now; 0: for ever */
};
void token_request_fini(struct token_request *t);
MUST_USE struct err *body_token(const json_t *o, struct token_request *out);

/* A run to be queued, via the server. Texts are checked by runs_add. Caller calls run_fini. */
MUST_USE struct err *body_run(const json_t *o, struct run *out);

#define CLAIM_WAIT_MAX_S 60
#define CLAIM_LABELS_MAX 64
struct claim_request {
	char *runner, *repository; /* repository NULL: any */
	struct strvec labels;
	int64_t wait; /* ns */
};
void claim_request_fini(struct claim_request *c);
MUST_USE struct err *body_claim(const json_t *o, struct claim_request *out);

/* Caller calls job_result_fini. */
MUST_USE struct err *body_result(const json_t *o, struct job_result *out);
