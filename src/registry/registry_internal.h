/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the registry: a request taken apart, the records it works on, and the answers all endpoints share.
 *
 * Records (docs/formats.md, "Registry records"):
 *   tag       <repository>:<tag>                  {mediaType, digest, size, at}
 *   manifest  <repository>@<digest>               {mediaType, size, subject?}
 *   referrer  <repository>@<subject>/<digest>     descriptor of a manifest that names subject
 *   repoblob  <digest>@<repository>               {size, at}: the blob may be read in that repository
 *   registry  generation                          a counter that every manifest put raises
 *   registry  put:<generation % 256>              "<generation> <key of the manifest>" of a late put
 *   registry  usage:<namespace>                   bytes that the namespace takes
 */
#pragma once

#include "base/buf.h"
#include "base/json.h"
#include "http/range.h"
#include "http/server.h"
#include "oci/image.h"
#include "registry/registry.h"
#include "registry/route.h"
#include "registry/small.h"
#include "store/store.h"

#define SPACE_TAG "tag"
#define SPACE_MANIFEST "manifest"
#define SPACE_REFERRER "referrer"
#define SPACE_BLOB "repoblob"
#define SPACE_STATE "registry"
#define KEY_GENERATION "generation"
#define LAST_PUTS 256

struct registry {
	struct store *store;
	const struct registry_policy *policy;
	struct registry_limits limits;
	struct small_contents *small;
	struct cache *cache; /* NULL: it is no cache of anything */
};

/* ---- a request ---- */

enum body_use { BODY_NONE, BODY_MANIFEST, BODY_BLOB, BODY_CHUNK };

/* One exchange's state. */
struct request {
	struct registry *r;
	struct store *s;
	bool create_only; /* whoever asks may neither replace nor delete */
	char *repository;
	char *reference;
	enum body_use use;
	struct digest digest;           /* of the manifest or blob named in the URL; unset: by tag */
	struct buf manifest;            /* BODY_MANIFEST */
	struct store_blob_writer *blob; /* BODY_BLOB */
	struct store_partial *partial;  /* BODY_CHUNK, or a session that BODY_BLOB ends */
	bool finish;                    /* BODY_CHUNK: commit at the end (PUT) */
	uint64_t expected;              /* bytes of a range that was announced, else 0 */
	uint64_t received;
	uint64_t room;             /* bytes the namespace's quota leaves; UINT64_MAX: no quota */
	struct upstream *upstream; /* the repository is a copy of one there; else NULL */
	char *there;               /* its name there */
	char *via;                 /* the header that tells it which caches asked for this before it */
	bool guess;                /* it was not named as a copy: it is just not here */
};

/* ---- answers ---- */

/* An error body of the distribution-spec. Headers set before are kept. Never fails. */
void reply_error(struct http_exchange *x, int status, const char *code, const char *fmt, ...) PRINTF(4, 5);
/* From an error of ours (consumed): user mistakes are told as they are, the rest is logged and told in
 * general. */
void reply_err(struct http_exchange *x, struct err *e, const char *code);
void reply_method(struct http_exchange *x, const char *allowed);
/* To those who may only add, when they want to delete. */
void reply_may_not_delete(struct http_exchange *x);
void reply_empty(struct http_exchange *x, int status);
/* status is 200; HEAD gets the headers. */
void reply_json(struct http_exchange *x, const char *media_type, const json_t *body);
/* Of content by digest. Not "public": what was asked for with credentials is nothing that a shared cache may
 * give to others (RFC 9111, 3.5). */
#define CACHE_FOREVER "max-age=31536000, immutable"
void reply_digest_headers(struct http_exchange *x, const struct digest *d);
/* Has it these very bytes already (If-None-Match)? Then 304 is the answer, with the headers of a 200 (RFC
 * 9110, 8.6 and 15.4.5). */
bool client_has(const struct http_exchange *x, const struct digest *d);
/* "Link" to the next page. query is ready to use in a URL. */
void reply_next_page(struct http_exchange *x, const char *path, const char *query);
bool is_head(const struct http_exchange *x);
/* n of a paged listing. Absent: *out 0 and *given false. False when it was refused, and answered. */
bool page_size(struct http_exchange *x, uint64_t *out, bool *given);

/* ---- records; "put" and "delete" ones take part in the caller's store_begin ---- */

MUST_USE struct err *records_tag_get(
	struct store *s, const char *repository, const char *tag, struct descriptor *out, bool *found);
MUST_USE struct err *records_tag_put(
	struct store *s, const char *repository, const char *tag, const struct descriptor *d);
MUST_USE struct err *records_tag_delete(
	struct store *s, const char *repository, const char *tag, bool *deleted);
/* Tags above after (NULL: all), at most limit (0: all). */
MUST_USE struct err *records_tags(
	struct store *s, const char *repository, const char *after, size_t limit, struct strvec *out);

/* Adds the keys of the tags that stand for d. */
MUST_USE struct err *records_tags_of(
	struct store *s, const char *repository, const struct digest *d, struct strvec *keys);

/* digest, size and media type of a manifest that the repository has. */
MUST_USE struct err *records_manifest_get(
	struct store *s, const char *repository, const struct digest *d, struct descriptor *out, bool *found);
/* The manifest and, if it has a subject, its entry among the referrers; raises the generation. */
MUST_USE struct err *records_manifest_put(
	struct store *s, const char *repository, const struct descriptor *d, const struct manifest *m);
/* With its tags and its entry among the referrers. */
MUST_USE struct err *records_manifest_delete(
	struct store *s, const char *repository, const struct digest *d, bool *deleted);

MUST_USE struct err *records_blob_has(
	struct store *s, const char *repository, const struct digest *d, bool *found);
MUST_USE struct err *records_blob_put(
	struct store *s, const char *repository, const struct digest *d, uint64_t size);
MUST_USE struct err *records_blob_delete(
	struct store *s, const char *repository, const struct digest *d, bool *deleted);
/* Some repository that has it, of those that x may read. */
MUST_USE struct err *records_blob_anywhere(
	const struct request *q, const struct http_exchange *x, const struct digest *d, bool *found);
/* May who asks be told of, or read what is in, that repository? */
bool may_read(const struct request *q, const struct http_exchange *x, const char *repository);
/* Its grace starts anew if half of it is over: who was told that it is here will not send it. */
MUST_USE struct err *records_blob_refresh(
	struct store *s, const char *repository, const struct digest *d, int64_t grace, bool *found);
MUST_USE struct err *records_blob_decode(struct str value, uint64_t *size, int64_t *at);

MUST_USE struct err *records_generation(struct store *s, int64_t *out);
/* Adds the keys of the manifests whose puts raised the generation above after, up to until. *known false: a
 * later put took a place, or a cooper of before kept none; keys says nothing then. */
MUST_USE struct err *records_put_between(
	struct store *s, int64_t after, int64_t until, struct strvec *keys, bool *known);
MUST_USE struct err *records_repository_known(struct store *s, const char *repository, bool *known);

/* Is the child there: a manifest or a blob of the repository? */
MUST_USE struct err *records_child_has(
	struct store *s, const char *repository, const struct digest *d, bool *found);

/* fn(ctx) as one transaction. */
MUST_USE struct err *records_atomically(struct store *s, struct err *(*fn)(void *ctx), void *ctx);

/* ---- quotas ---- */

MUST_USE struct err *quota_usage(struct store *s, const char *repository, uint64_t *out);
/* Before records go away: what is not summed up yet is, while they are there. */
MUST_USE struct err *quota_begin(struct store *s, const char *repository);
/* In the transaction that adds or takes it away. */
MUST_USE struct err *quota_change(struct store *s, const char *repository, uint64_t more, uint64_t less);
/* Has the namespace of the repository the blob already? */
MUST_USE struct err *quota_counts_blob(
	struct store *s, const char *repository, const struct digest *d, bool *counts);
/* Bytes that may be added; UINT64_MAX when there is no quota. */
MUST_USE struct err *quota_room(const struct request *q, uint64_t *out);
void reply_quota(const struct request *q, struct http_exchange *x);

/* ---- endpoints; each answers or sets q->use ---- */

MUST_USE struct err *tags_begin(struct request *q, struct http_exchange *x);
MUST_USE struct err *catalog_begin(struct request *q, struct http_exchange *x);
MUST_USE struct err *referrers_begin(struct request *q, struct http_exchange *x);
MUST_USE struct err *manifest_begin(struct request *q, struct http_exchange *x);
MUST_USE struct err *manifest_end(struct request *q, struct http_exchange *x);
MUST_USE struct err *blob_begin(struct request *q, struct http_exchange *x);
/* Answer with a manifest whose bytes the store has. */
MUST_USE struct err *manifest_send(struct request *q, struct http_exchange *x, const struct descriptor *d);
/* What of a blob of so many bytes a request asks for, with the headers for it. False: it is answered. */
struct blob_part {
	int status;
	uint64_t from, length;
};
bool blob_part(struct request *q, struct http_exchange *x, uint64_t size, struct blob_part *out);
/* Answer with a file of these bytes; fd is taken if it is of use. */
void blob_send(struct request *q, struct http_exchange *x, int *fd, uint64_t size);
/* Answer HEAD of a blob that is there. */
void blob_tell(struct request *q, struct http_exchange *x, uint64_t size);
MUST_USE struct err *upload_start_begin(struct request *q, struct http_exchange *x);
MUST_USE struct err *upload_begin(struct request *q, struct http_exchange *x);
MUST_USE struct err *upload_body(struct request *q, struct http_exchange *x, const void *p, size_t len);
MUST_USE struct err *upload_end(struct request *q, struct http_exchange *x);
