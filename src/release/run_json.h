/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs and jobs as the server's API shows them (schemas Run and Job of docs/openapi.json), written by the
 * server and read by its clients. Times are RFC 3339; what is not there yet is null.
 */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "base/json.h"
#include "release/runs.h"

/* The caller's. */
json_t *job_to_json(const struct job *j);
json_t *run_to_json(const struct run *r);
/* ns as RFC 3339, 0 as null. */
json_t *time_to_json(int64_t ns);

/* An answer of a server: what it must have and has not is ERR_INVALID naming what and the key. Unknown keys
 * are of newer servers, and skipped. Caller calls *_fini. */
MUST_USE struct err *run_from_json(const json_t *o, const char *what, struct run *out);
MUST_USE struct err *claimed_from_json(
	const json_t *o, const char *what, struct claimed_job *out, int64_t *lease_time);
