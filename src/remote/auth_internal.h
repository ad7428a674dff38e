/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files that read and write credentials. */
#pragma once

#include "base/json.h"
#include "remote/auth.h"

struct auth_place {
	char *path;
	bool legacy; /* ~/.dockercfg: the document is the "auths" object */
};

/* vec of struct auth_place; the one to write to by default comes in *fallback (borrowed index). */
void auth_places(const char *file, struct vec *out, size_t *fallback);
void auth_places_fini(struct vec *places);
/* *out NULL with success when the file is absent. */
MUST_USE struct err *auth_read(const struct auth_place *place, json_t **out);
/* Scheme and a trailing /v1/ or /v2/ taken off; the names of Docker Hub become docker.io. Caller frees. */
char *auth_key_name(const char *key);
/* The name of the helper for a registry, "" for none. all: credsStore counts too. Caller frees. */
MUST_USE struct err *auth_helper_name(const json_t *doc, const char *path, const char *registry, char **out);

enum helper_verdict { HELPER_OK, HELPER_NOTHING, HELPER_MISSING };
MUST_USE struct err *helper_get(const char *helper, const char *registry, const struct cancel *cancel,
	struct credential *out, enum helper_verdict *verdict);
MUST_USE struct err *helper_store(const char *helper, const char *registry, const char *user,
	const char *password, const struct cancel *cancel);
MUST_USE struct err *helper_erase(
	const char *helper, const char *registry, const struct cancel *cancel, enum helper_verdict *verdict);
