/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine.h"

#include "base/mem.h"
#include "base/path.h"
#include "engine/engine_internal.h"
#include "sys/userns.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Default $COOPER_HOME for this user, without opening anything. Caller frees. */
static struct err *engine_default_home(char **out)
{
	const char *env = getenv("COOPER_HOME"), *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");

	if (env && *env) {
		if (*env == '/') {
			*out = path_clean(env);
			return NULL;
		}
		AUTO_FREE char *cwd = getcwd(NULL, 0);
		*out = path_join(cwd ? cwd : "/", env);
		return NULL;
	}
	if (geteuid() == 0 && !userns_is_rootless())
		*out = mem_strdup("/var/lib/cooper");
	else if (xdg && *xdg == '/')
		*out = path_join(xdg, "cooper");
	else if (home && *home == '/')
		*out = path_join(home, ".local/share/cooper");
	else
		return err_hint(err_new(ERR_INVALID, "there is no place for the store: HOME is not set"),
			"set COOPER_HOME to an absolute path");
	return NULL;
}

static struct err *choose_home(const struct engine_options *opt, const struct settings *s, char **out)
{
	if (opt->home) {
		AUTO_FREE char *cwd = getcwd(NULL, 0);
		*out = path_resolve(cwd ? cwd : "/", opt->home);
		return NULL;
	}
	const char *env = getenv("COOPER_HOME");
	if ((!env || !*env) && s->home) {
		*out = path_clean(s->home);
		return NULL;
	}
	return engine_default_home(out);
}

struct err *engine_open(const struct engine_options *opt, struct engine **out)
{
	AUTO(settings_freep) struct settings *settings = NULL;
	AUTO_FREE char *home = NULL;
	struct store *store = NULL;
	struct store_options so = {.read_only = opt->read_only};

	TRY(settings_load(opt->config_file, &settings));
	TRY(choose_home(opt, settings, &home));
	struct err *e = store_open(home, &so, &store);
	if (e)
		return err_hint_text(e) ? e : err_hint(e, "COOPER_HOME says which folder is the store");
	struct engine *eng = mem_new(struct engine);
	eng->settings = steal(&settings);
	eng->store = store;
	eng->home = steal(&home);
	pthread_mutex_init(&eng->lock, NULL);
	*out = eng;
	return NULL;
}

void engine_close(struct engine *e)
{
	if (!e)
		return;
	remote_free(e->remote);
	store_close(e->store);
	settings_free(e->settings);
	pthread_mutex_destroy(&e->lock);
	mem_freep(&e->home);
	mem_freep(&e);
}

void engine_closep(struct engine **e)
{
	engine_close(*e);
	*e = NULL;
}

struct store *engine_store(struct engine *e)
{
	return e->store;
}

const struct settings *engine_settings(const struct engine *e)
{
	return e->settings;
}

const char *engine_home(const struct engine *e)
{
	return e->home;
}

/* A server is a registry, too: its token need not be kept in a file for that. */
static struct err *use_server_token(struct remote *remote)
{
	const char *server = getenv("COOPER_SERVER"), *token = getenv("COOPER_TOKEN");
	const char *host = server ? strstr(server, "://") : NULL;

	if (!host || !host[3] || !token || !*token)
		return NULL;
	AUTO_FREE char *name = mem_strndup(host + 3, strcspn(host + 3, "/"));
	struct err *e = remote_use_credentials(remote, name, "cooper", str_c(token));
	return e ? err_wrap(e, "the address in COOPER_SERVER") : NULL;
}

static struct err *make_remote(
	struct engine *e, struct store *store, const struct remote_config *how, struct remote **out)
{
	AUTO(remote_freep) struct remote *remote = NULL;
	const struct settings *s = e->settings;
	AUTO_FREE struct remote_host *hosts = mem_array(s->hosts.len + 1, sizeof(*hosts));
	struct remote_config cfg = *how;

	cfg.hosts = hosts;
	cfg.host_count = s->hosts.len;
	cfg.auth_file = s->auth_file;
	for (size_t i = 0; i < s->hosts.len; i++) {
		const struct settings_host *h = vec_at(&s->hosts, i);
		hosts[i] = (struct remote_host){
			.host = h->host,
			.mirrors = strvec_list(&h->mirrors),
			.ca_file = h->ca_file,
			.client_cert = h->client_cert,
			.client_key = h->client_key,
			.plain_http = h->plain_http,
			.insecure = h->insecure,
		};
	}
	TRY(remote_new(store, &cfg, &remote));
	TRY(use_server_token(remote));
	*out = steal(&remote);
	return NULL;
}

struct err *engine_remote_for(struct engine *e, struct store *s, int64_t timeout, struct remote **out)
{
	/* Somebody waits for the answer, and can ask again. */
	const struct remote_config how = {.timeout = timeout, .retries = 3};

	return make_remote(e, s, &how, out);
}

struct err *engine_remote(struct engine *e, struct remote **out)
{
	struct err *failed = NULL;

	pthread_mutex_lock(&e->lock);
	if (!e->remote)
		failed = make_remote(e, e->store, &(struct remote_config){0}, &e->remote);
	*out = e->remote;
	pthread_mutex_unlock(&e->lock);
	return failed;
}

struct err *engine_enter_namespace(void)
{
	return userns_enter();
}
