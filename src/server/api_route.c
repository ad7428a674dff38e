/* SPDX-License-Identifier: Apache-2.0 */
#include "server/api_internal.h"

#include <string.h>

#define JSON_MAX ((size_t)256 << 10)
#define FORM_MAX ((size_t)16 << 10)
#define LOG_PIECE_MAX ((size_t)1 << 20)
#define WATCHERS (SCOPE_ADMIN | SCOPE_RELEASE | SCOPE_RUNNER)
#define RELEASERS (SCOPE_ADMIN | SCOPE_RELEASE)
#define RUNNERS (SCOPE_ADMIN | SCOPE_RUNNER)

const struct api_route api_routes[] = {
	{"GET", API_ROOT, 0, API_NO_BODY, 0, api_index},
	{"GET", API_ROOT "/openapi.json", 0, API_NO_BODY, 0, api_openapi},
	{"GET", API_ROOT "/registry/token", 0, API_NO_BODY, 0, api_registry_token},
	{"POST", API_ROOT "/registry/token", 0, API_FORM, FORM_MAX, api_registry_token_form},
	{"GET", API_ROOT "/tokens", SCOPE_ADMIN, API_NO_BODY, 0, api_token_list},
	{"POST", API_ROOT "/tokens", SCOPE_ADMIN, API_JSON, JSON_MAX, api_token_create},
	{"DELETE", API_ROOT "/tokens/{name}", SCOPE_ADMIN, API_NO_BODY, 0, api_token_delete},
	{"GET", API_ROOT "/runs", WATCHERS, API_NO_BODY, 0, api_run_list},
	{"POST", API_ROOT "/runs", RELEASERS, API_JSON, JSON_MAX, api_run_create},
	{"GET", API_ROOT "/runs/{run}", WATCHERS, API_NO_BODY, 0, api_run_get},
	{"POST", API_ROOT "/runs/{run}/cancel", RELEASERS, API_NO_BODY, 0, api_run_cancel},
	{"GET", API_ROOT "/runs/{run}/jobs/{index}/log", WATCHERS, API_NO_BODY, 0, api_log_read},
	{"POST", API_ROOT "/jobs/claim", RUNNERS, API_JSON, JSON_MAX, api_job_claim},
	{"POST", API_ROOT "/jobs/{job}/heartbeat", RUNNERS, API_NO_BODY, 0, api_job_heartbeat},
	{"POST", API_ROOT "/jobs/{job}/log", RUNNERS, API_BYTES, LOG_PIECE_MAX, api_job_log},
	{"POST", API_ROOT "/jobs/{job}/result", RUNNERS, API_JSON, JSON_MAX, api_job_result},
	{"POST", API_ROOT "/jobs/{job}/return", RUNNERS, API_NO_BODY, 0, api_job_return},
};
const size_t api_route_count = ARRAY_LEN(api_routes);

static bool number(struct str text, uint64_t max, uint64_t *out)
{
	return text.len && (text.len == 1 || text.ptr[0] != '0') && str_to_u64(text, out) && *out <= max;
}

/* One part of a path against one of a pattern. */
static bool part_fits(struct str pattern, struct str part, struct api_path *out)
{
	uint64_t n = 0;
	if (!pattern.len || pattern.ptr[0] != '{')
		return str_eq(pattern, part);
	if (str_eq_c(pattern, "{name}")) {
		out->name = part;
		return token_name_valid(part);
	}
	if (str_eq_c(pattern, "{index}")) {
		bool ok = number(part, UINT32_MAX, &n);
		out->index = (uint32_t)n;
		return ok;
	}
	if (!number(part, INT64_MAX, &n) || !n)
		return false;
	*(str_eq_c(pattern, "{run}") ? &out->run : &out->job) = (int64_t)n;
	return true;
}

static bool path_fits(const char *pattern, const char *path, struct api_path *out)
{
	struct str want = str_c(pattern), have = str_c(path), w, h;
	*out = (struct api_path){0};
	for (;;) {
		bool more = str_split(&want, '/', &w);
		if (more != str_split(&have, '/', &h))
			return false;
		if (!more)
			return true;
		if (!part_fits(w, h, out))
			return false;
	}
}

const struct api_route *api_route_find(
	const char *method, const char *path, struct api_path *out, struct buf *allowed)
{
	if (cstr_eq(method, "HEAD"))
		method = "GET";
	for (size_t i = 0; i < api_route_count; i++) {
		const struct api_route *r = &api_routes[i];
		if (!path_fits(r->path, path, out))
			continue;
		if (cstr_eq(r->method, method))
			return r;
		if (allowed)
			buf_addf(allowed, "%s%s", allowed->len ? ", " : "",
				cstr_eq(r->method, "GET") ? "GET, HEAD" : r->method);
	}
	*out = (struct api_path){0};
	return NULL;
}
