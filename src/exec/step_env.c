/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "exec/step_internal.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Where programs look for the certificates they trust. None of them stays: they are of the step's environment
 * only. */
static const char *const ca_variables[] = {
	"AWS_CA_BUNDLE",
	"BUNDLE_SSL_CA_CERT",
	"CARGO_HTTP_CAINFO",
	"CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE",
	"COMPOSER_CAFILE",
	"CURL_CA_BUNDLE",
	"DENO_CERT",
	"GIT_SSL_CAINFO",
	"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
	"HEX_CACERTS_PATH",
	"HTTPLIB2_CA_CERTS",
	"NIX_SSL_CERT_FILE",
	"NODE_EXTRA_CA_CERTS",
	"PERL_LWP_SSL_CA_FILE",
	"PIP_CERT",
	"REQUESTS_CA_BUNDLE",
	"SSL_CERT_FILE",
	"npm_config_cafile",
};

static void set_default(struct strvec *env, const char *key, const char *value)
{
	if (!envlist_get(env, key))
		envlist_set(env, key, value);
}

static void set_defaults(struct strvec *env, const char *const *list)
{
	for (size_t i = 0; list && list[i]; i++) {
		const char *eq = strchr(list[i], '=');
		if (!eq || eq == list[i])
			continue;
		AUTO_FREE char *key = mem_strndup(list[i], (size_t)(eq - list[i]));
		set_default(env, key, eq + 1);
	}
}

static void set_own(struct strvec *env, const char *const *list)
{
	for (size_t i = 0; list && list[i]; i++) {
		const char *eq = strchr(list[i], '=');
		if (!eq || eq == list[i])
			continue;
		AUTO_FREE char *key = mem_strndup(list[i], (size_t)(eq - list[i]));
		envlist_set(env, key, eq + 1);
	}
}

static void set_agent(const struct attempt *a, struct strvec *env)
{
	for (size_t i = 0; i < a->mount_count; i++) {
		if (a->mounts[i].want->kind == MOUNT_SSH && !a->mounts[i].absent)
			set_default(env, "SSH_AUTH_SOCK", a->mounts[i].want->target);
	}
}

void step_env_make(const struct step *s, struct attempt *a)
{
	AUTO_STRVEC struct strvec secrets = a->env;
	a->env = (struct strvec){0};
	struct strvec *env = &a->env;
	set_own(env, s->op->env);
	set_own(env, strvec_list(&secrets));
	set_default(env, "PATH", DEFAULT_PATH);
	set_default(env, "HOME", a->user.home);
	AUTO_FREE char *epoch = mem_printf("%lld", (long long)(s->rc->epoch / CLOCK_SECOND));
	set_default(env, "SOURCE_DATE_EPOCH", epoch);
	set_agent(a, env);
	set_defaults(env, s->op->proxy_env);
	set_defaults(env, s->rc->host ? s->rc->host->env : NULL);
	for (size_t i = 0; a->has_ca && i < ARRAY_LEN(ca_variables); i++)
		set_default(env, ca_variables[i], STEP_CA_FILE);
	/* Programs that know no variable for it, but one for a file of settings. */
	if (a->has_ca) {
		set_default(env, "APT_CONFIG", STEP_CA_DIR "/apt.conf");
		set_default(env, "WGETRC", STEP_CA_DIR "/wgetrc");
	}
}
