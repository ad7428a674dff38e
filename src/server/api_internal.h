/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API below /api/v1, as docs/openapi.json describes it (a test compares the two). One table of routes
 * says who may call what, and with which body; a handler answers, or returns the error to answer with.
 */
#pragma once

#include "base/buf.h"
#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/json.h"
#include "http/server.h"
#include "release/runs.h"
#include "server/auth_internal.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

#define API_ROOT "/api/v1"

struct api {
	struct store *store;
	struct runs *runs;
	struct auth *auth;
	int64_t lease_time;            /* ns a runner may be silent */
	const struct cancel *stopping; /* waiting requests end when it is set */
	struct http_handler handler;
};
/* The fields above handler are the caller's to set; api must stay where it is while it serves. */
void api_init(struct api *api);

enum api_body { API_NO_BODY, API_JSON, API_FORM, API_BYTES };

/* What the variable parts of a path say; those that its route has not are zero. */
struct api_path {
	int64_t run;     /* {run} */
	uint32_t index;  /* {index} */
	int64_t job;     /* {job} */
	struct str name; /* {name}; a view of the path */
};

struct api_call {
	struct api *api;
	struct http_exchange *x;
	const struct api_route *route;
	const struct caller *caller; /* goes with the exchange */
	struct api_path path;
	struct buf body;
	json_t *json; /* of API_JSON: an object */
};

struct api_route {
	const char *method; /* HEAD goes where GET does */
	const char *path;
	unsigned scopes; /* one of these is enough; 0: for everybody */
	enum api_body body;
	size_t max; /* bytes of the body */
	struct err *(*handle)(struct api_call *c);
};
extern const struct api_route api_routes[];
extern const size_t api_route_count;

/* NULL when there is none: then *allowed (may be NULL) has the methods that the path does offer, "" for an
 * unknown path. Numbers are decimal without signs or leading zeros. */
const struct api_route *api_route_find(
	const char *method, const char *path, struct api_path *out, struct buf *allowed);

/* ---- answers ---- */

/* {"error": {"message", "hint"}} */
void api_error(struct http_exchange *x, int status, const char *hint, const char *fmt, ...) PRINTF(4, 5);
/* The same of an error (consumed): mistakes of the caller are told as they are, the rest is logged. */
void api_fail(struct http_exchange *x, struct err *e);
void api_reply(struct http_exchange *x, int status, const json_t *body);
void api_reply_empty(struct http_exchange *x, int status);

/* ---- what is asked for ---- */

/* A number of the query, min to max; *out keeps its value when it is absent. */
MUST_USE struct err *api_query_number(
	const struct http_exchange *x, const char *name, uint64_t min, uint64_t max, uint64_t *out);
/* Text of a query parameter; the same for a value by itself (NULL: absent). */
MUST_USE struct err *api_number(
	const char *text, const char *name, uint64_t min, uint64_t max, uint64_t *out);

/* May who asked still do so? A token can be deleted while its request waits. scopes: of the route. */
MUST_USE struct err *api_still_may(
	const struct api *api, const struct http_exchange *x, unsigned scopes, bool *yes);

/* Has the peer gone away? To be asked while a request waits for something. */
bool api_peer_gone(const struct http_exchange *x);

/* ---- handlers, by file ---- */

MUST_USE struct err *api_index(struct api_call *c);
MUST_USE struct err *api_openapi(struct api_call *c);
MUST_USE struct err *api_registry_token(struct api_call *c);
MUST_USE struct err *api_registry_token_form(struct api_call *c);
MUST_USE struct err *api_token_list(struct api_call *c);
MUST_USE struct err *api_token_create(struct api_call *c);
MUST_USE struct err *api_token_delete(struct api_call *c);
MUST_USE struct err *api_run_list(struct api_call *c);
MUST_USE struct err *api_run_create(struct api_call *c);
MUST_USE struct err *api_run_get(struct api_call *c);
MUST_USE struct err *api_run_cancel(struct api_call *c);
MUST_USE struct err *api_log_read(struct api_call *c);
MUST_USE struct err *api_job_claim(struct api_call *c);
MUST_USE struct err *api_job_heartbeat(struct api_call *c);
MUST_USE struct err *api_job_log(struct api_call *c);
MUST_USE struct err *api_job_result(struct api_call *c);
MUST_USE struct err *api_job_return(struct api_call *c);

/* docs/openapi.json */
extern const char openapi_json[];
extern const size_t openapi_json_len;
