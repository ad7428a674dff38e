/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "remote/access.h"
#include "remote/auth_internal.h"
#include "remote/remote_internal.h"

#include <string.h>

static const struct transfer_io no_io;

/* "docker.io" for its other names, without scheme and path. Caller frees. */
static struct err *login_name(const char *host, char **out)
{
	AUTO_FREE char *name = auth_key_name(host);
	AUTO(url_fini) struct url u = {0};
	AUTO_FREE char *url = mem_printf("https://%s/", name);
	if (strchr(name, '/') || strchr(name, '@'))
		return err_new(ERR_INVALID, "'%s' is not a registry: write host or host:port", host);
	TRY(url_parse(url, &u));
	*out = steal(&name);
	return NULL;
}

/* The credentials that are to be tried take the place of those in files. */
static void plant(struct endpoint *ep, const char *user, const char *password)
{
	access_forget(ep);
	struct looked_up *l = mem_new(struct looked_up);
	l->credential = (struct credential){.user = mem_strdup(user),
		.password = mem_strdup(password),
		.source = mem_strdup("the command line")};
	pthread_mutex_lock(&ep->auth_lock);
	map_set_c(ep->credentials, "", l);
	pthread_mutex_unlock(&ep->auth_lock);
}

/* A registry that lets everybody read asks for nothing at /v2/: then they are shown unasked, so that wrong
 * ones are refused here and not at the first push. */
static bool show_unasked(struct endpoint *ep)
{
	pthread_mutex_lock(&ep->auth_lock);
	bool unasked = !ep->challenged;
	if (unasked)
		ep->challenge.scheme = CHALLENGE_BASIC;
	ep->challenged = true;
	pthread_mutex_unlock(&ep->auth_lock);
	return unasked;
}

static struct err *check(struct endpoint *ep, const struct transfer_io *io)
{
	const struct call c = {.endpoint = ep, .method = "GET", .path = "/v2/", .io = io};
	AUTO(http_response_fini) struct http_response r = {0};
	TRY(call_run(&c, &r));
	if (r.status == 200 && show_unasked(ep)) {
		http_response_fini(&r);
		TRY(call_run(&c, &r));
	}
	if (r.status == 200 && !answer_is_html(&r))
		return NULL;
	if (r.status == 401 || r.status == 403) {
		AUTO_FREE char *words = answer_words(&r);
		struct err *e = err_new(
			ERR_DENIED, "user name or password was refused%s%s", *words ? ": " : "", words);
		return err_hint(
			e, "where two-factor login is on, an access token takes the place of the password");
	}
	return answer_error(&c, &r);
}

static struct err *log_in(struct remote *r, const char *name, const char *user, const char *password,
	const struct transfer_io *io)
{
	const struct reference ref = {
		.registry = (char *)(uintptr_t)name, .repository = (char *)(uintptr_t) "-"};
	AUTO_FREE char *where = NULL;
	struct route route = {0};
	if (!*user || strchr(user, ':'))
		return err_new(ERR_INVALID, "the user name is empty or has a colon");
	TRY(route_for_push(r, &ref, &route));
	plant(route.endpoint, user, password);
	struct err *e = check(route.endpoint, io);
	access_forget(route.endpoint);
	route_fini(&route);
	TRY(e);
	TRY(auth_store(r->auth_file, name, user, password, io->cancel, &where));
	event_info(io->events, "credentials for %s are kept in %s", name, where);
	return NULL;
}

struct err *remote_use_credentials(struct remote *r, const char *host, const char *user, struct str password)
{
	AUTO_FREE char *name = NULL;
	AUTO_FREE char *text = NULL;
	AUTO(reference_fini) struct reference ref = {0};
	AUTO(route_fini) struct route route = {0};
	/* The whole address of an image is taken, too. */
	AUTO_FREE char *first = mem_strndup(host, strcspn(host, "/"));
	TRY(login_name(strstr(host, "://") ? host : first, &name));
	text = mem_printf("%s/x", name);
	TRY(reference_parse(text, true, &ref));
	TRY(route_for_push(r, &ref, &route));
	pthread_mutex_lock(&r->lock);
	if (user) {
		struct credential *c = mem_new(struct credential);
		c->user = mem_strdup(user);
		c->password = mem_strndup(password.ptr, password.len);
		c->source = mem_strdup("the pipeline");
		map_set_c(r->given, route.endpoint->name, c);
	} else {
		map_remove(r->given, str_c(route.endpoint->name));
	}
	pthread_mutex_unlock(&r->lock);
	access_forget(route.endpoint);
	return NULL;
}

struct err *remote_login(struct remote *r, const char *host, const char *user, const char *password,
	const struct transfer_io *io)
{
	AUTO_FREE char *name = NULL;
	TRY(login_name(host, &name));
	struct err *e = log_in(r, name, user, password, io ? io : &no_io);
	return e ? err_wrap(e, "logging in to %s", name) : NULL;
}

struct err *remote_logout(struct remote *r, const char *host, const struct cancel *cancel, bool *was_there)
{
	AUTO_FREE char *name = NULL;
	TRY(login_name(host, &name));
	return auth_erase(r->auth_file, name, cancel, was_there);
}
