/* SPDX-License-Identifier: Apache-2.0 */
#include "registry/route.h"

/* Cuts the last component off *s. */
static struct str pop(struct str *s)
{
	ptrdiff_t slash = str_rindex(*s, '/');
	struct str last = slash < 0 ? *s : str_skip(*s, (size_t)slash + 1);
	s->len = slash < 0 ? 0 : (size_t)slash;
	return last;
}

/* The path from its end, as repository names may hold any word of the endpoints. */
void registry_route(const char *path, struct route *out)
{
	*out = (struct route){.kind = ROUTE_UNKNOWN};
	struct str rest = str_c(path);
	if (str_eq_c(rest, "/v2") || str_eq_c(rest, "/v2/")) {
		out->kind = ROUTE_PING;
		return;
	}
	if (!str_starts(rest, "/v2/"))
		return;
	rest = str_skip(rest, 4);
	if (str_eq_c(rest, "_catalog")) {
		out->kind = ROUTE_CATALOG;
		return;
	}
	struct str last = pop(&rest), middle = pop(&rest);
	if (str_eq_c(middle, "manifests"))
		out->kind = ROUTE_MANIFEST;
	else if (str_eq_c(middle, "referrers"))
		out->kind = ROUTE_REFERRERS;
	else if (str_eq_c(middle, "tags") && str_eq_c(last, "list"))
		out->kind = ROUTE_TAGS;
	else if (str_eq_c(middle, "blobs"))
		out->kind = str_eq_c(last, "uploads") ? ROUTE_UPLOAD_START : ROUTE_BLOB;
	else if (str_eq_c(middle, "uploads") && str_eq_c(pop(&rest), "blobs"))
		out->kind = last.len ? ROUTE_UPLOAD : ROUTE_UPLOAD_START;
	out->repository = rest;
	out->reference = last;
}
