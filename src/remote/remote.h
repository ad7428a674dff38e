/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registry client (distribution-spec v1.1): resolve, pull, push. Mirrors, private CAs, plain HTTP and
 * credentials come from remote_config.
 * Threads: a remote may be shared.
 * Errors: name the reference and URL; ERR_DENIED says where credentials were looked for; ERR_NOT_FOUND;
 * ERR_UNAVAILABLE after the retries.
 *
 * Where a layer's bytes may be had is remembered in records of space "origin": the digest of the blob -> the
 * repositories ("registry/repository", a line each, the latest first, at most 8). Downloads that were cut are
 * the store's partial files "pull-<digest>".
 */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/event.h"
#include "oci/image.h"
#include "oci/images.h"
#include "oci/reference.h"
#include "store/store.h"

#include <stdbool.h>

struct remote;

/* One registry's settings, by host[:port] prefix; all optional. Strings are copied. */
struct remote_host {
	const char *host;           /* "docker.io", "registry.example:5000" */
	const char *const *mirrors; /* tried first, for pulls only: "host[:port][/path]" */
	const char *ca_file, *client_cert, *client_key;
	bool plain_http; /* loopback hosts get it by themselves when TLS does not answer */
	bool insecure;   /* no certificate check */
};
struct remote_config {
	const struct remote_host *hosts;
	size_t host_count;
	const char *auth_file; /* docker config.json form; NULL: the usual places (docs of remote/auth.h) */
	unsigned parallel;     /* transfers at once; 0: 4 */
	unsigned retries;      /* tries of one request in all; 0: 5 */
	int64_t backoff;       /* ns before the second try, then doubled each time; 0: half a second */
	int64_t timeout;       /* ns without a connection or a byte; 0: 30 s and 60 s */
};
/* Cheap: no connection is made. */
MUST_USE struct err *remote_new(struct store *s, const struct remote_config *cfg, struct remote **out);
void remote_free(struct remote *r);
void remote_freep(struct remote **r);

/* What a registry said that did not give what it was asked for. */
struct remote_refusal {
	int status;   /* 0: no answer came */
	int64_t wait; /* ns that it asks to wait; 0: it does not say */
};

/* For progress and cancellation; all may be zero. */
struct transfer_io {
	struct event_stream *events;
	uint32_t step;
	const struct cancel *cancel;
	const char *header; /* "Name: value" that goes with each request to a registry; NULL: none */
	bool impatient;     /* whoever asks to wait, or says that a limit is reached, is not asked again */
	struct remote_refusal
		*refusal; /* of the last answer, when the call ends with an error; may be NULL */
};

/* HEAD (GET where it must): the descriptor a reference stands for now. */
MUST_USE struct err *remote_resolve(
	struct remote *r, const struct reference *ref, const struct transfer_io *io, struct descriptor *out);
/* What one look at a registry told. */
struct presence {
	int status;           /* 200: it is there; 404: it is not; else why. 0: no answer came */
	struct digest digest; /* of what is there; unset: not told */
	char *why, *hint;     /* why it cannot be told, and what to do; may be NULL */
};
void presence_fini(struct presence *p);
/*
 * Is it there? Asks the registry itself, no mirror, by HEAD of the tag (of the digest where there is no tag),
 * at most twice; want_digest: also by GET where HEAD does not tell the digest. A redirect to another host is
 * not followed. Whatever goes wrong on the way is an answer; only ERR_CANCELED and wrong settings are errors.
 */
MUST_USE struct err *remote_presence(struct remote *r, const struct reference *ref, bool want_digest,
	const struct transfer_io *io, struct presence *out);
/* The manifest or index itself into the store (verified), as descriptor. */
MUST_USE struct err *remote_fetch_manifest(struct remote *r, const struct reference *ref,
	const struct descriptor *d, const struct transfer_io *io, struct descriptor *out);
/* Index (if any), the platform's manifest and its config into the store, not the layers. *manifest is the
 * image manifest. The repository is remembered as a place to get the layers from. */
MUST_USE struct err *remote_pull_lazy(struct remote *r, const struct reference *ref,
	const struct platform *want, const struct transfer_io *io, struct descriptor *top,
	struct descriptor *manifest);
/* One blob into the store from the given repository (or one remembered for it when ref is NULL), resumed and
 * verified; nothing when it is there. */
MUST_USE struct err *remote_fetch_blob(struct remote *r, const struct reference *ref,
	const struct descriptor *blob, const struct transfer_io *io);
/* e, that a blob could not be had (consumed; NULL: it could), or NULL after a warning where blob is a layer
 * that may not be distributed: those may be absent wherever they are copied. */
MUST_USE struct err *remote_without_foreign(
	struct err *e, const struct descriptor *blob, const struct transfer_io *io);
/* Everything: for "image copy" and for pulls that want it all. */
struct remote_pull_options {
	const struct platform *platform; /* NULL: this machine's */
	bool all_platforms;              /* every entry of an index */
	bool without_foreign; /* layers that may not be distributed may stay away, with a warning */
};
MUST_USE struct err *remote_pull(struct remote *r, const struct reference *ref,
	const struct remote_pull_options *how, const struct transfer_io *io, struct descriptor *top);
/* Push a manifest or index of the store with all it names: HEAD first, mount where another repository of that
 * registry has it, one PUT else. overwrite false: an existing tag with another digest is ERR_EXISTS and the
 * same digest is success (*already set). */
MUST_USE struct err *remote_push(struct remote *r, const struct descriptor *image, const struct reference *to,
	bool overwrite, const struct transfer_io *io, bool *already);
/* All tags (paging followed), sorted bytewise; what is none by its grammar is left out. No such repository:
 * empty. */
MUST_USE struct err *remote_tags(
	struct remote *r, const struct reference *repo, const struct transfer_io *io, struct strvec *out);
/* Credentials are looked up anew when they are needed next: those in files may have changed. */
void remote_forget_credentials(struct remote *r);
/* Use these for a host from now on, instead of those in files; user NULL: no longer. Nothing is checked or
 * stored. */
MUST_USE struct err *remote_use_credentials(
	struct remote *r, const char *host, const char *user, struct str password);
/* Check and store credentials for a host in the auth file (0600, other entries untouched). */
MUST_USE struct err *remote_login(struct remote *r, const char *host, const char *user, const char *password,
	const struct transfer_io *io);
MUST_USE struct err *remote_logout(
	struct remote *r, const char *host, const struct cancel *cancel, bool *was_there);
