/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials of registries, in the files that docker, podman and skopeo share.
 *
 * Places, in order: the explicit file alone, if given; else $REGISTRY_AUTH_FILE alone, if set; else
 * $XDG_RUNTIME_DIR/containers/auth.json, $XDG_CONFIG_HOME (~/.config)/containers/auth.json,
 * $DOCKER_CONFIG (~/.docker)/config.json, ~/.dockercfg. In each: credHelpers of the host, credsStore, then
 * auths, whose keys may be a host or a host with the beginning of a repository (the longest wins). Helpers
 * are the programs docker-credential-<name>.
 */
#pragma once

#include "base/base64.h"
#include "base/buf.h"
#include "base/cancel.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"

#include <stdbool.h>

struct credential {
	char *user, *password;
	char *identity_token; /* to be traded for access tokens */
	char *registry_token; /* a ready bearer token */
	char *source;         /* the file or helper, for messages */
};
void credential_fini(struct credential *c);
bool credential_found(const struct credential *c);

/*
 * registry as in references ("docker.io"), repository may be NULL. Nothing found: success with an empty
 * credential. What was looked at is appended to looked (files, and helpers that are missing). Blocks on
 * helpers.
 */
MUST_USE struct err *auth_lookup(const char *file, const char *registry, const char *repository,
	const struct cancel *cancel, struct credential *out, struct strvec *looked);
/* Into the file that has an entry for the registry already, else the explicit one, else
 * ~/.config/containers/auth.json (0600). */
MUST_USE struct err *auth_store(const char *file, const char *registry, const char *user,
	const char *password, const struct cancel *cancel, char **where);
/* Out of every place. */
MUST_USE struct err *auth_erase(
	const char *file, const char *registry, const struct cancel *cancel, bool *was_there);
