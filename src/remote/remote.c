/* SPDX-License-Identifier: Apache-2.0 */
#include "remote/remote.h"

#include "base/clock.h"
#include "base/mem.h"
#include "remote/access.h"
#include "remote/remote_internal.h"

#include <string.h>

static void add_setting(struct vec *out, const struct remote_host *h)
{
	struct host_setting *s = vec_push(out);
	s->host = mem_strdup(h->host);
	strvec_push_all(&s->mirrors, h->mirrors);
	s->ca_file = mem_strdup(h->ca_file);
	s->client_cert = mem_strdup(h->client_cert);
	s->client_key = mem_strdup(h->client_key);
	s->plain_http = h->plain_http;
	s->insecure = h->insecure;
}

static void given_free(void *p)
{
	struct credential *c = p;
	if (c->password)
		explicit_bzero(c->password, strlen(c->password));
	credential_fini(c);
	mem_freep(&c);
}

struct err *remote_new(struct store *s, const struct remote_config *cfg, struct remote **out)
{
	const struct remote_config none = {0};
	if (!cfg)
		cfg = &none;
	for (size_t i = 0; i < cfg->host_count; i++)
		if (!cfg->hosts[i].host || !*cfg->hosts[i].host)
			return err_new(ERR_INVALID, "a registry setting has no host");
	struct remote *r = mem_new(struct remote);
	r->store = s;
	r->settings = VEC_OF(struct host_setting);
	for (size_t i = 0; i < cfg->host_count; i++)
		add_setting(&r->settings, &cfg->hosts[i]);
	r->auth_file = mem_strdup(cfg->auth_file);
	r->parallel = cfg->parallel ? cfg->parallel : 4;
	r->tries = cfg->retries ? cfg->retries : 5;
	r->backoff = cfg->backoff ? cfg->backoff : CLOCK_SECOND / 2;
	r->timeout = cfg->timeout;
	r->given = map_new(given_free);
	r->endpoints = map_new(endpoint_free);
	pthread_mutex_init(&r->lock, NULL);
	*out = r;
	return NULL;
}

void remote_free(struct remote *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->settings.len; i++) {
		struct host_setting *s = vec_at(&r->settings, i);
		mem_freep(&s->host);
		strvec_fini(&s->mirrors);
		mem_freep(&s->ca_file);
		mem_freep(&s->client_cert);
		mem_freep(&s->client_key);
	}
	vec_fini(&r->settings);
	map_free(r->given);
	map_free(r->endpoints);
	http_client_free(r->http);
	mem_freep(&r->auth_file);
	pthread_mutex_destroy(&r->lock);
	mem_freep(&r);
}

void remote_freep(struct remote **r)
{
	remote_free(*r);
	*r = NULL;
}

void remote_forget_credentials(struct remote *r)
{
	struct vec endpoints AUTO(vec_fini) = VEC_OF(struct endpoint *);
	size_t i = 0;
	struct str key;
	void *value;
	/* Not under both locks: who holds that of an endpoint may wait for that of the remote. */
	pthread_mutex_lock(&r->lock);
	while (map_next(r->endpoints, &i, &key, &value))
		vec_push_copy(&endpoints, &value);
	pthread_mutex_unlock(&r->lock);
	for (i = 0; i < endpoints.len; i++)
		access_forget(*(struct endpoint **)vec_at(&endpoints, i));
}

struct err *remote_http(struct remote *r, struct http_client **out)
{
	const struct http_client_options opt = {.connect_timeout = r->timeout, .stall_timeout = r->timeout};
	pthread_mutex_lock(&r->lock);
	struct err *e = r->http ? NULL : http_client_new(&opt, &r->http);
	*out = r->http;
	pthread_mutex_unlock(&r->lock);
	return e;
}
