/* SPDX-License-Identifier: Apache-2.0 */
/*
 * May what the manifests name run in production? Images exist, were built from main, and are what their
 * digests say; versions agree. docs/check.md has the rules. Nothing is changed, and registries are asked only
 * about names that are valid: what a pull request writes into a manifest goes into no URL before.
 */
#pragma once

#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/event.h"
#include "engine/engine.h"
#include "repo/manifests.h"
#include "repo/repo.h"

enum check_rule {
	CHECK_NO_MANIFESTS,    /* a folder of manifests is missing or empty */
	CHECK_MANIFEST,        /* a manifest cannot be read */
	CHECK_SENTINEL,        /* "kustomized" without the entry that would replace it */
	CHECK_PIN,             /* a pin that is no valid image name, or no plain text */
	CHECK_FIXED,           /* a pin that cooper pin cannot change */
	CHECK_UNTAGGED,        /* neither tag nor digest */
	CHECK_MISSING,         /* not in the registry */
	CHECK_UNVERIFIED,      /* the registry did not tell */
	CHECK_DIGEST,          /* the tag stands for another digest than the one beside it */
	CHECK_BRANCH,          /* not built from main */
	CHECK_UNKNOWN,         /* it cannot be told what it was built from */
	CHECK_TWO_TAGS,        /* one image, several tags */
	CHECK_BUILD_FILE,      /* a container's folder without a build file */
	CHECK_VERSION,         /* a build file without a version */
	CHECK_VERSIONS_DIFFER, /* build files, or service-versions.yaml, with different versions */
	CHECK_SERVICE_VERSION, /* service-versions.yaml lacks a container's version, or cannot be read */
};
#define CHECK_RULES 16
struct check_rule_text {
	const char *id;   /* "not-from-main" */
	const char *what; /* what it finds, one sentence */
	const char *fix;  /* what to do about it */
};
const struct check_rule_text *check_rule_text(enum check_rule r);

enum registry_state { REGISTRY_UNVERIFIED, REGISTRY_OK, REGISTRY_MISSING };
const char *registry_state_name(enum registry_state s); /* "unverified", "ok", "missing" */

struct checked_pin {
	const struct pin *pin; /* of the report's scan */
	bool valid;            /* its parts follow the grammar */
	enum provenance provenance;
	char *reason;    /* of UNKNOWN */
	char commit[41]; /* "" of UNKNOWN */
	enum registry_state registry;
};
struct violation {
	enum check_rule rule;
	bool warning;
	char *file;
	uint32_t line; /* 0: the whole file */
	char *message;
	char *hint; /* NULL if there is none */
};
struct checked_versions { /* of a container */
	char *container, *kinds;
	char *versions; /* "Dockerfile 1.2.3, service-versions.yaml 1.2.3" */
	bool ok;
};

struct check_request {
	struct engine *engine; /* NULL: offline */
	struct repo *repo;
	const char *base;    /* REF to compare the work tree with; NULL: the rules below */
	const char *ci_base; /* branch that a pull request goes to ($GITHUB_BASE_REF); NULL or "": none */
	bool all;
	bool strict;
	struct event_stream *events;
	const struct cancel *cancel;
};
struct check_report {
	struct manifest_scan scan;
	struct vec pins;       /* of struct checked_pin, by file and line */
	struct vec violations; /* of struct violation, by file and line */
	struct vec versions;   /* of struct checked_versions, by name */
	size_t errors, warnings;
	char *main;      /* the ref that is production's */
	int64_t fetched; /* repo_main_fetched */
	char *scope;     /* "everything: this is main", "what changed since origin/main (74029e1)" */
};
void check_report_fini(struct check_report *r);
/*
 * Which: with all, everything; with a base (which must exist), what differs between the work tree and the
 * last commit shared with it; else the same against ci_base or main. Everything also when HEAD is on that
 * branch, when cooper.yaml or service-versions.yaml changed, and when git cannot tell. A change anywhere in a
 * service's folder counts for all of it.
 *
 * What is found is in the report, not an error; an error means that nothing can be said (ERR_NOT_FOUND
 * without a main branch).
 */
MUST_USE struct err *release_check(const struct check_request *rq, struct check_report *out);
