/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of the registry client. */
#pragma once

#include "base/map.h"
#include "base/vec.h"
#include "http/client.h"
#include "remote/auth.h"
#include "remote/challenge.h"
#include "remote/parallel.h"
#include "remote/remote.h"

#include <pthread.h>
#include <stdatomic.h>

#define TAKES_MANIFESTS \
	"Accept: " MEDIA_OCI_INDEX ", " MEDIA_DOCKER_LIST ", " MEDIA_OCI_MANIFEST ", " MEDIA_DOCKER_MANIFEST

struct host_setting {
	char *host;
	struct strvec mirrors;
	char *ca_file, *client_cert, *client_key;
	bool plain_http, insecure;
};

struct remote {
	struct store *store;
	struct vec settings; /* of struct host_setting */
	char *auth_file;
	unsigned parallel, tries;
	int64_t backoff, timeout;
	pthread_mutex_t lock;     /* of what follows */
	struct http_client *http; /* made when first used */
	struct map *given;        /* host -> struct credential, for this process only */
	struct map *endpoints;    /* "host[:port]" and its setting -> struct endpoint */
};

/* One host that is talked to. Never freed before its remote. */
struct endpoint {
	struct remote *remote;
	char *name;      /* as settings and credentials call it: "docker.io" */
	char *authority; /* what is dialled: "registry-1.docker.io" */
	char *ca_file, *client_cert, *client_key;
	bool plain_http, insecure, mirror;
	atomic_int_least64_t down_until; /* of a mirror that did not answer; monotonic */
	atomic_bool answered;            /* it has answered a request of this process */
	pthread_mutex_t scheme_lock;
	char *base; /* "https://registry-1.docker.io"; NULL until known; under scheme_lock */
	pthread_mutex_t
		auth_lock; /* of what follows; held while a token is fetched, so that it is fetched once */
	struct challenge challenge;
	bool challenged;
	struct map *credentials; /* repository -> struct looked_up */
	struct map *tokens;
};

/* Where the blobs and manifests of a reference may be had: mirrors first. */
struct route {
	struct endpoint *endpoint;
	char *repository;
};
void routes_fini(struct vec *routes); /* of struct route */
MUST_USE struct err *routes_for_pull(struct remote *r, const struct reference *ref, struct vec *out);
MUST_USE struct err *route_for_push(struct remote *r, const struct reference *ref, struct route *out);
void route_fini(struct route *route);
/* Is it a mirror that is left alone for the time being? */
bool route_is_down(const struct route *route);
/*
 * Is another route worth asking after e? Then e is freed and noted in tried, and a mirror that does not
 * answer is left alone from now on; else *e gets what became of the mirrors before.
 */
bool route_next(const struct route *route, struct err **e, struct buf *tried);

MUST_USE struct err *remote_http(struct remote *r, struct http_client **out);
/* "https://host[:port]". Blocks once, to find out what a loopback host speaks. Caller frees. */
MUST_USE struct err *endpoint_base(struct endpoint *ep, const struct transfer_io *io, char **out);
void endpoint_free(void *ep);
/* Settings are of one host: what ep's say of url, or, when that is at another origin than base, what that
 * host's own say (base NULL: in any case). Strings live as long as the remote. */
MUST_USE struct err *endpoint_trust_at(
	struct endpoint *ep, const char *base, const char *url, struct http_trust *out);
struct http_trust endpoint_trust(const struct endpoint *ep);
/* For http_request.trust_of; ctx is the remote. */
MUST_USE struct err *remote_trust_of(void *ctx, const char *url, struct http_trust *out);
/* host[:port], as settings name it. NULL if it cannot be read. Caller frees. */
char *authority_of(const char *url);
/* Name the setting that helps when what failed at url (NULL: nobody knows where) is TLS. Returns e. */
struct err *hint_at_setting(const struct endpoint *ep, const char *base, const char *url, struct err *e);

/* ---- one request, with authorization ---- */

struct call {
	struct endpoint *endpoint;
	const char *repository;
	const char *actions; /* "pull", "pull,push"; NULL: none are asked for */
	const char *from;    /* a further repository to be pulled from, for mounts; NULL */
	bool foreign; /* path is a URL that an image named: no credentials, certificates or exceptions of the
			 registry */
	bool no_redirects; /* they are answers */
	unsigned tries;    /* of call_run, in all; 0: as the remote has it */
	const char *method;
	const char *path;       /* "/v2/..." or an absolute URL that the registry named */
	const char *headers[6]; /* NULL-terminated */
	struct str body;
	struct err *(*read_body)(void *ctx, void *p, size_t *len);
	struct err *(*rewind_body)(void *ctx);
	void *body_ctx;
	int64_t body_size;
	struct err *(*write_body)(void *ctx, const void *p, size_t len);
	void *write_ctx;
	size_t max_body;
	const struct transfer_io *io;
};
/* Once, but for one more time after a 401. Any status is a success. r must be zeroed. */
MUST_USE struct err *call_once(const struct call *c, struct http_response *r);
/* With the retries for what may pass. */
MUST_USE struct err *call_run(const struct call *c, struct http_response *r);

/* ---- retries ---- */

struct retry {
	struct endpoint *endpoint;
	const struct transfer_io *io;
	unsigned tried;
	unsigned most; /* tries in all; 0: as the remote has it */
};
bool status_may_pass(int status);
bool error_may_pass(const struct err *e);
/*
 * After a failure (e, borrowed, or a status in r): wait and give *again true, or false when it is of no use.
 * ERR_CANCELED, or ERR_UNAVAILABLE when the registry asks for a longer wait than is sensible.
 */
MUST_USE struct err *retry_wait(
	struct retry *t, const struct http_response *r, const struct err *e, bool *again);

/* ---- errors from answers ---- */

/* For the caller's io->refusal. */
void answer_note(const struct transfer_io *io, const struct http_response *r);
/* Retry-After, in ns; 0 if absent or odd. */
int64_t answer_wait(const struct http_response *r);

/* An error for an answer with this status: URL, status, the registry's words, what to do. */
MUST_USE struct err *answer_error(const struct call *c, const struct http_response *r);
/* The registry's code in an error body, "" if none: "BLOB_UNKNOWN". Caller frees. */
char *answer_code(const struct http_response *r);
/* A page of a web site or proxy. */
bool answer_is_html(const struct http_response *r);
/* The part of the body worth showing. Caller frees. */
char *answer_words(const struct http_response *r);
/* Where the next page is (caller frees), NULL at the end. It must be at the registry itself: the credentials
 * go there. what: the list, for messages. seen: the addresses of the pages so far, to which it is added, and
 * of which it must be none; NULL: nobody follows it further. */
MUST_USE struct err *answer_next_page(
	const struct http_response *r, const char *what, struct strvec *seen, char **next);
/* Bytes that a cache packed on the way are not those that the digest is of: ERR_CORRUPT. */
MUST_USE struct err *answer_unpacked(const struct http_response *r);
/* For a 429: hint at the limit that the answer tells, and at what helps. Returns e. */
MUST_USE struct err *answer_limit(const struct endpoint *ep, const struct http_response *r, struct err *e);
/* Is nothing left of a limit that is counted over longer than ns, so that trying again soon is of no use? */
bool answer_limit_spent(const struct http_response *r, int64_t ns);

/* ---- blobs ---- */

struct progress {
	struct event_stream *events;
	uint32_t step;
	char name[64];
	uint64_t done, total;
	int64_t last;
};
void progress_start(struct progress *p, const struct transfer_io *io, const char *verb,
	const struct digest *d, uint64_t total);
void progress_set(struct progress *p, uint64_t done);

struct remote_relay;
/* HEAD of a blob at the first place that has it. */
MUST_USE struct err *look_at_blob_from(
	const struct vec *routes, const struct digest *d, const struct transfer_io *io, uint64_t *size);
/* A blob of which nobody knows the size; *size then. */
MUST_USE struct err *relay_blob_from(struct remote *r, const struct vec *routes, const struct digest *d,
	const struct remote_relay *to, const struct transfer_io *io, uint64_t *size);
MUST_USE struct err *fetch_blob_from(struct remote *r, const struct vec *routes,
	const struct descriptor *blob, const struct transfer_io *io);
/* Verified manifest bytes from the first route that has them. content_type (caller frees) may come out NULL.
 */
MUST_USE struct err *fetch_manifest_bytes(const struct vec *routes, const struct reference *ref,
	const struct descriptor *d, const struct transfer_io *io, struct buf *out, char **content_type);

/* Remember that a repository has blobs (vec of struct descriptor). */
MUST_USE struct err *origin_add(struct store *s, const struct reference *ref, const struct vec *blobs);
/* "registry/repository" texts, the latest first. */
MUST_USE struct err *origin_get(struct store *s, const struct digest *d, struct strvec *out);

/* ---- vectors of struct descriptor with each digest once ---- */

void descriptors_fini(struct vec *v);
bool descriptors_have(const struct vec *v, const struct digest *d);
/* A copy, unless its digest is there. */
void descriptors_add(struct vec *v, const struct descriptor *d);
/* Without annotations and such. */
void descriptors_add_brief(struct vec *v, const struct descriptor *d);
