/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Moving production from branch builds to main's (docs/promote.md): for every pin that is not from main, what
 * main would build of that container and kind. Where the pinned image was built from equal inputs, main's tag
 * is put over its layers: the very image that a build of main would give, without one. Else it is released
 * from main. Then the pins are changed.
 *
 * Nothing that is published is ever replaced. Whatever step a run dies at, the next one does what is left.
 * Threads: one.
 */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/event.h"
#include "engine/engine.h"
#include "engine/evaluate.h"
#include "release/work.h"
#include "repo/manifests.h"
#include "repo/repo.h"

struct promote_request {
	struct engine *engine;
	struct repo *repo;
	const struct strvec *names;  /* of containers; empty: all */
	bool env;                    /* also pins in texts of env and args */
	bool allow_downgrade;        /* also where main has an older version than is pinned */
	bool commit;                 /* one commit of the changed files */
	bool allow_insecure;         /* of what is released from main: as in build_request */
	const char *server;          /* URL of where releases are queued; NULL: done here */
	const struct job_text *text; /* of the logs of releases here */
	struct event_stream *events;
	const struct cancel *cancel;
};

enum promote_action {
	PROMOTE_PIN,     /* main's tag is there: only the pins change */
	PROMOTE_RETAG,   /* main's tag over the pinned image's layers */
	PROMOTE_REBUILD, /* release from main */
};
const char *promote_action_name(enum promote_action a); /* "pin", "retag", "rebuild" */

/* A pin that is not from main. */
struct promote_pin {
	const struct pin *pin; /* of the report's scan */
	enum provenance provenance;
	char *reason;         /* of UNKNOWN */
	char *version;        /* as its tag has it; NULL: it names none */
	char commit[41];      /* that it was built from; "": not known */
	struct digest image;  /* manifest in the store; unset: it could not be read */
	struct digest inputs; /* its label; unset: it has none */
	bool index;           /* it is for several platforms, which no release is */
	char *unread;         /* why it could not be read */
	bool gone;            /* ... because the registry has it no more */
	bool changed;         /* the file has the new tag */
	char *error;          /* why it stays */
};

/* What becomes of the pins of one container and kind. */
struct promotion {
	char *container;
	bool nix;
	const char *kind; /* of main's build file: "dockerfile"; NULL: it has none */
	struct vec pins;  /* of struct promote_pin */
	enum promote_action action;
	char *reference, *tag; /* main's; NULL with an error */
	struct digest digest;  /* of what is published; unset while it is to be rebuilt */
	char *why;             /* one line for people */
	struct vec changes;    /* of struct input_change: why it is rebuilt, as far as it can be told */
	bool published;        /* it is in the registry now */
	char *error;           /* then the pins stay */
};

/* A pin that is not from main and is not promoted, and why. */
struct promote_left {
	const struct pin *pin;
	char *why;
};

struct promote_report {
	char *main;        /* the ref's name: "origin/main" */
	struct commit tip; /* its commit */
	int64_t fetched;   /* repo_main_fetched */
	struct manifest_scan scan;
	size_t from_main;          /* pins that need nothing */
	struct vec promotions;     /* of struct promotion, by the first pin's place */
	struct vec left;           /* of struct promote_left */
	char *ahead;               /* HEAD has commits that main has not: what to know; NULL if it has none */
	struct strvec uncommitted; /* changed manifests, the first few, where there is nothing to promote */
	char commit[41];           /* made by promote_run; "" if none */
	/* private */
	struct main_builds *builds;
	struct repo_config config;
};
void promote_report_fini(struct promote_report *r);

/*
 * What is to be done. Registries are asked and builds evaluated; nothing is built, published or written into
 * the work tree. ERR_NOT_FOUND without a main branch or with a name that no manifest has; ERR_INVALID when
 * HEAD lacks main's commits: then these are not main's manifests. What cannot be done for one image stands in
 * its promotion's error.
 */
MUST_USE struct err *promote_plan(const struct promote_request *rq, struct promote_report *out);
/*
 * Do it: publish, change the pins, commit. One failing does not stop the others; ERR_UNAVAILABLE or the
 * commit's error at the end, with the details in the report.
 */
MUST_USE struct err *promote_run(const struct promote_request *rq, struct promote_report *r);
/* Was any of its pins changed? */
bool promotion_changed(const struct promotion *p);
/* Must have failed: of pins and promotions. */
size_t promote_failures(const struct promote_report *r);
