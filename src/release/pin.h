/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Setting what the manifests pin: which tag, in which places, and one commit of it. Nothing is written before
 * every change is known to be possible.
 */
#pragma once

#include "base/buf.h"
#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "engine/engine.h"
#include "repo/manifests.h"
#include "repo/repo.h"

/* One pin and what it is to become. All borrowed. */
struct pin_target {
	const struct pin *pin; /* of a scan of the work tree */
	const char *tag;
	const char *digest; /* of the same image; used where the pin has one, NULL else */
	bool env;           /* a PIN_ENV may be changed */
};
/* Write them into the work tree: all or, when one is refused, none. files (may be NULL) gets the files that
 * differ now, sorted. */
MUST_USE struct err *pins_write(struct repo *r, const char *prefix, const struct pin_target *targets,
	size_t count, struct strvec *files);
/* The files that they would change, sorted, and (diff may be NULL) the unified diff: nothing is written. */
MUST_USE struct err *pins_preview(struct repo *r, const char *prefix, const struct pin_target *targets,
	size_t count, struct strvec *files, struct buf *diff);
/* "repo/path:12: reg/ns/web v1-1111111 -> v2-2222222", without a line end. Caller frees. */
char *pin_target_text(const struct pin_target *t);
/* Has the pin that value already? */
bool pin_target_is_set(const struct pin_target *t);

struct pin_request {
	struct engine *engine;
	struct repo *repo;
	const char *name; /* of the container */
	const char
		*tag; /* NULL: the newest of main (with allow_branch of branches too), of each pin's kind */
	const char *service;  /* only there; NULL: see pin_plan_make */
	bool all_services;    /* everywhere */
	bool env;             /* texts of env and args too */
	bool allow_branch;    /* a tag that is not from main, or not known to be */
	bool allow_downgrade; /* a lower version, or an older build of the same */
	const struct cancel *cancel;
};
/* A tag that pins are set to. */
struct pin_tag {
	char *tag, *digest;
	bool nix;
	enum provenance provenance;
	char *reason;         /* of UNKNOWN */
	struct commit commit; /* id "" of UNKNOWN */
};
enum pin_left_why {
	PIN_LEFT_SERVICE, /* of another service */
	PIN_LEFT_ENV,     /* in a text */
};
struct pin_left {
	const struct pin *pin;
	enum pin_left_why why;
};
struct pin_plan {
	char *image; /* registry/namespace/name */
	char *prefix;
	char *main; /* the ref that tags were compared with; NULL: there is none */
	struct manifest_scan scan;
	struct vec tags;        /* of struct pin_tag */
	struct vec targets;     /* of struct pin_target, by file and line: also those that are set already */
	struct vec left;        /* of struct pin_left: the same image, not changed */
	struct strvec warnings; /* manifests of the service that could not be read */
	struct strvec files;    /* that would change */
	struct buf diff;
};
void pin_plan_fini(struct pin_plan *p);
/*
 * What to set, without setting it. Which service: the one asked for; else that with the container's own name,
 * if it pins the image; else the only one that does; several are ERR_INVALID naming them. Refused with file
 * and line: a pin that cannot be changed, a tag that is not from main, a downgrade.
 */
MUST_USE struct err *pin_plan_make(const struct pin_request *rq, struct pin_plan *out);
/* What changed and why, for a commit. Caller frees. */
char *pin_plan_message(const struct pin_plan *p);
