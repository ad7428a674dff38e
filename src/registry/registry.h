/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registry server (OCI distribution-spec v1.1) over the store: it serves the very blobs the builder wrote.
 * Repositories and tags are "tag" records
 * "<repository>:<tag>", manifests of a repository are "manifest" records "<repository>@<digest>".
 */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "http/server.h"
#include "oci/image.h"
#include "registry/policy.h"
#include "store/store.h"

/* How the names of the store's partials begin that are unfinished uploads. */
#define REGISTRY_UPLOADS "upload."

struct registry;

/* policy is borrowed, as long as *out; NULL: the defaults. */
MUST_USE struct err *registry_new(
	struct store *s, const struct registry_policy *policy, struct registry **out);
void registry_free(struct registry *r);

/* The repository in a request's path is for the caller to check; this says what else of the registry a
 * request may see: names in the catalog, and blobs to mount. NULL: everything. */
struct registry_limits {
	bool (*may_read)(void *ctx, const struct http_exchange *x, const char *repository);
	void *ctx;
};
/* Before it serves. */
void registry_limit(struct registry *r, const struct registry_limits *limits);

struct route;
/* The repository that a request is about: what its path names, or the copy of what it names at an upstream.
 * NULL when that is no valid name. Caller frees. */
MUST_USE struct err *registry_repository(
	const struct registry *r, const struct http_exchange *x, const struct route *route, char **out);
/* The copy that would be asked for if what the path names were not here; the same whether it is. NULL: none.
 * Caller frees. */
char *registry_default_copy(
	const struct registry *r, const struct http_exchange *x, const struct route *route);

/* Handles every request whose path is /v2/ or below. Borrowed, as long as r. */
const struct http_handler *registry_handler(struct registry *r);
/* The same for those who may only add: a tag that stands for another digest stays as it is (403), and nothing
 * can be deleted but an upload that is under way. */
const struct http_handler *registry_handler_create_only(struct registry *r);

/* What "release" does to the embedded registry without a server running: record the tag. Existing tag: same
 * digest is success (*already), another one ERR_EXISTS unless overwrite. */
MUST_USE struct err *registry_publish(struct store *s, const char *repository, const char *tag,
	const struct descriptor *image, bool overwrite, bool *already);
/* Tags of a repository, sorted bytewise. */
MUST_USE struct err *registry_tags(struct store *s, const char *repository, struct strvec *out);
MUST_USE struct err *registry_repositories(struct store *s, struct strvec *out);
/* *found false when absent. */
MUST_USE struct err *registry_get(
	struct store *s, const char *repository, const char *tag, struct descriptor *out, bool *found);
MUST_USE struct err *registry_get_digest(
	struct store *s, const char *repository, const struct digest *d, struct descriptor *out, bool *found);

/* Bytes that the namespace of a repository takes. */
MUST_USE struct err *registry_usage(struct store *s, const char *repository, uint64_t *out);
/* Have what namespaces take summed up anew, after a repair of the store dropped records of the registry. */
MUST_USE struct err *registry_recount(struct store *s);
