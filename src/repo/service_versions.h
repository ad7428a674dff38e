/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service-versions.yaml: which version of each service is meant to run, kept by people and by other tools
 * (docs/check.md). Of its keys these are read; others are anybody's:
 *
 *   services:                   a list
 *     - name: miniflux
 *       current-version: 2.2.9  text, quoted or not: 18.4 and 1.10 are no numbers here
 *   container-names:            optional: services that are called otherwise than their container
 *     quartz: docs              container: service
 *   exempt-containers: [shell]  optional: containers that are no service
 */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"
#include "repo/repo.h"

#include <stdbool.h>
#include <stdint.h>

#define SERVICE_VERSIONS_FILE "service-versions.yaml"

struct service_version {
	char *name;
	char *version; /* as it is written; NULL: none */
	uint32_t line; /* of the version, or of the entry where there is none */
};
struct service_versions {
	struct vec services;  /* of struct service_version, each name once */
	struct strvec names;  /* "container=service" */
	struct strvec exempt; /* containers */
};
void service_versions_fini(struct service_versions *v);
/* ERR_INVALID says where. path is for messages. */
MUST_USE struct err *service_versions_parse(struct str text, const char *path, struct service_versions *out);
/* At a commit, or of the work tree (c NULL). *found false when there is no such file. */
MUST_USE struct err *service_versions_load(
	struct repo *r, const struct commit *c, struct service_versions *out, bool *found);
/* The entry of a container; NULL if there is none. Borrowed. */
const struct service_version *service_versions_of(const struct service_versions *v, const char *container);
bool service_versions_exempt(const struct service_versions *v, const char *container);
