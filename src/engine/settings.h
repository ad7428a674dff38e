/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's own settings: /etc/cooper/config.yaml, then $XDG_CONFIG_HOME/cooper/config.yaml (later ones
 * win), every key optional, unknown keys errors with line and a suggestion. docs/formats.md, "Machine
 * configuration", has the whole form. Ownership: strings live as long as the settings.
 */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "base/vec.h"
#include "registry/policy.h"

#include <stdbool.h>
#include <stdint.h>

struct settings_host {
	const char *host;
	struct strvec mirrors;
	const char *ca_file, *client_cert, *client_key;
	bool plain_http, insecure;
};

struct settings {
	struct arena *arena;
	const char *home;      /* store.home; NULL: the default */
	uint64_t store_limit;  /* store.limit, bytes of cache kept by gc; 0: default */
	int64_t store_keep;    /* store.keep, ns an unused cache entry is kept; 0: default */
	const char *auth_file; /* credentials; NULL: the usual places */
	struct vec hosts;      /* of struct settings_host */
	const char *ca;        /* steps.ca: "auto", "none" or a file */
	struct strvec env; /* "K=V" for steps: steps.env, and those of steps.pass-env (or its default) that
			      are set */
	struct strvec proxy_env; /* "K=V" proxies of this process's environment, lower and upper case */
	struct strvec nameservers, search, hosts_file;
	unsigned jobs;
	struct registry_policy registry;
};

/* config_file NULL: the usual places; else just that one, which must exist. Caller frees *out. */
MUST_USE struct err *settings_load(const char *config_file, struct settings **out);
struct settings *settings_new(void);
void settings_free(struct settings *s);
void settings_freep(struct settings **s);
/* The bundle steps are handed, NULL for none: "auto" is the machine's bundle when certificates were added to
 * it by hand. Borrowed. */
const char *settings_ca_bundle(const struct settings *s);
