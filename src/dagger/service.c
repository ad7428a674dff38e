/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Services: containers that run while others work. They run in the host's network, as steps do, so that a
 * service is reached at 127.0.0.1; a binding is a name for that. What a step is bound to is started when
 * something asks for what the step gives.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "dagger/dagger_schema.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEALTHY_WITHIN (60 * CLOCK_SECOND)

struct service {
	struct object object;
	struct node *node;   /* the program; NULL: ports of the host */
	struct vec ports;    /* of struct exposed_port */
	struct vec forwards; /* of struct forward: ports of the host under other numbers */
	const char *hostname;
	struct container *container;
	const struct service *target; /* of a tunnel */
};
struct forward {
	int frontend, backend;
};

struct running {
	struct dagger *d;
	struct node *node;
	pthread_t thread;
	struct cancel *cancel;
	pthread_mutex_t lock;
	struct err *end; /* why it ended */
	bool ended;
};

static struct service *self(struct call *c)
{
	return (struct service *)(void *)c->self;
}

/* ---- running ---- */

static void *run(void *arg)
{
	struct running *r = arg;
	AUTO(snapshot_fini) struct snapshot made = {0};
	struct err *e = session_solve(r->d->session, r->node, r->cancel, &made);

	pthread_mutex_lock(&r->lock);
	r->end = e;
	r->ended = true;
	pthread_mutex_unlock(&r->lock);
	return NULL;
}

static struct err *connects(int port, bool *ok)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0)
		return err_sys(errno, "asking whether a service is up");
	*ok = connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0;
	close(fd);
	return NULL;
}

static struct err *has_ended(struct running *r, const char *name)
{
	struct err *e = NULL;

	pthread_mutex_lock(&r->lock);
	if (r->ended) {
		AUTO_FREE char *why = r->end ? err_text(r->end) : mem_strdup("it came to its end");
		e = err_new(ERR_UNAVAILABLE, "the service %s is not running: %s", name, why);
	}
	pthread_mutex_unlock(&r->lock);
	return e;
}

static struct err *wait_healthy(struct call *c, const struct service *s, struct running *r)
{
	int64_t until = clock_monotonic() + HEALTHY_WITHIN;

	for (size_t i = 0; i < s->ports.len; i++) {
		const struct exposed_port *p = vec_at(&s->ports, i);
		bool up = p->skip_health || p->udp;
		while (!up) {
			TRY(cancel_check(c->cancel));
			if (r)
				TRY(has_ended(r, s->hostname));
			TRY(connects(p->port, &up));
			if (!up && clock_monotonic() > until)
				return err_new(ERR_TIMEOUT, "the service %s does not answer on port %d",
					s->hostname, p->port);
			if (!up)
				usleep(20000);
		}
	}
	return NULL;
}

static struct running *find(struct dagger *d, const struct service *s)
{
	return map_get_c(d->services, s->object.id);
}

static struct err *start(struct call *c, const struct service *s)
{
	struct dagger *d = c->d;

	if (!s->node)
		return wait_healthy(c, s, NULL);
	for (size_t i = 0; i < s->container->services.len; i++) {
		const struct service_binding *b = vec_at(&s->container->services, i);
		TRY(start(c, b->service));
	}
	pthread_mutex_lock(&d->lock);
	struct running *r = find(d, s);
	bool fresh = !r;
	if (fresh) {
		r = mem_new(struct running);
		*r = (struct running){.d = d, .node = s->node, .cancel = cancel_new()};
		pthread_mutex_init(&r->lock, NULL);
		if (pthread_create(&r->thread, NULL, run, r)) {
			pthread_mutex_unlock(&d->lock);
			cancel_free(r->cancel);
			mem_freep(&r);
			return err_new(ERR_UNAVAILABLE, "no thread for the service %s", s->hostname);
		}
		map_set_c(d->services, s->object.id, r);
	}
	pthread_mutex_unlock(&d->lock);
	return wait_healthy(c, s, r);
}

static void end(struct running *r)
{
	cancel_set(r->cancel);
	pthread_join(r->thread, NULL);
	err_ignore(r->end, "it was stopped");
	cancel_free(r->cancel);
	pthread_mutex_destroy(&r->lock);
	mem_freep(&r);
}

void services_stop(struct dagger *d)
{
	struct str key;
	void *r;

	for (size_t i = 0; map_next(d->services, &i, &key, &r);)
		end(r);
	map_free(d->services);
	d->services = map_new(NULL);
}

/* ---- what steps need ---- */

void services_bind(struct dagger *d, const struct node *n, const struct container *ct)
{
	if (!ct->services.len)
		return;
	char key[DIGEST_TEXT_MAX];
	pthread_mutex_lock(&d->lock);
	struct vec *bound = arena_new_of(d->arena, struct vec);
	*bound = VEC_OF(struct service *);
	for (size_t i = 0; i < ct->services.len; i++)
		vec_push_copy(bound, &((struct service_binding *)vec_at(&ct->services, i))->service);
	vec_push_copy(&d->cleanups, &(struct cleanup){(void (*)(void *))(uintptr_t)vec_fini, bound});
	map_set_c(d->bound, digest_text(node_digest(n), key), bound);
	pthread_mutex_unlock(&d->lock);
}

static const struct vec *bound_to(struct dagger *d, const struct node *n)
{
	char key[DIGEST_TEXT_MAX];

	pthread_mutex_lock(&d->lock);
	const struct vec *v = map_get_c(d->bound, digest_text(node_digest(n), key));
	pthread_mutex_unlock(&d->lock);
	return v;
}

struct err *services_for(struct call *c, struct node *n)
{
	struct dagger *d = c->d;
	struct vec stack = VEC_OF(const struct node *);
	struct err *e = NULL;

	pthread_mutex_lock(&d->lock);
	bool none = !map_len(d->bound);
	pthread_mutex_unlock(&d->lock);
	if (none || !n)
		return NULL;
	AUTO(map_freep) struct map *seen = map_new(NULL);
	vec_push_copy(&stack, &(const struct node *){n});
	while (!e && stack.len) {
		const struct node *at = *(const struct node **)vec_at(&stack, stack.len - 1);
		vec_remove(&stack, stack.len - 1);
		struct str key = str_n((const char *)&at, sizeof(at));
		if (map_has(seen, key))
			continue;
		map_set(seen, key, d);
		const struct vec *bound = bound_to(d, at);
		for (size_t i = 0; !e && bound && i < bound->len; i++)
			e = start(c, *(struct service **)vec_at(bound, i));
		for (size_t i = 0; i < node_input_count(at); i++) {
			const struct node *in = node_input(at, i);
			if (in)
				vec_push_copy(&stack, &in);
		}
	}
	vec_fini(&stack);
	return e;
}

/* ---- fields ---- */

static void service_fini(void *p)
{
	struct service *s = p;

	vec_fini(&s->ports);
	vec_fini(&s->forwards);
}

static struct service *service_new(struct call *c)
{
	struct service *s = OBJECT_NEW(c, "Service", service);

	s->ports = VEC_OF(struct exposed_port);
	s->forwards = VEC_OF(struct forward);
	s->hostname = "localhost";
	keep_cleanup(c->d, service_fini, s);
	return s;
}

struct err *resolve_container_as_service(struct call *c)
{
	struct service *s = service_new(c);
	struct container *ct = container_copy(c);
	AUTO_STRVEC struct strvec argv = {0};
	struct op_exec op = {.insecure = arg_flag(c, ARG_Container_asService_insecureRootCapabilities)};

	TRY(container_command(c, ct, ARG_Container_asService_args, ARG_Container_asService_useEntrypoint,
		ARG_Container_asService_expand, &argv));
	TRY(container_step(c, ct, &argv, &op, "service", &s->node));
	container_ports(ct, &s->ports);
	s->container = ct;
	call_give(c, s);
	return NULL;
}

struct err *resolve_container_with_service_binding(struct call *c)
{
	struct container *ct = container_copy(c);
	struct service *s = NULL;

	TRY(arg_object(c, ARG_Container_withServiceBinding_service, "Service", (void **)&s));
	vec_push_copy(&ct->services,
		&(struct service_binding){
			keep_text(c->d, arg_text(c, ARG_Container_withServiceBinding_alias)), s});
	call_give(c, ct);
	return NULL;
}

static struct err *give_id(struct call *c)
{
	TRY(object_store(c->d, c->self));
	gql_out_string(c->out, str_c(c->self->id));
	return NULL;
}

struct err *resolve_service_start(struct call *c)
{
	TRY(start(c, self(c)));
	return give_id(c);
}

struct err *resolve_service_sync(struct call *c)
{
	return give_id(c);
}

struct err *resolve_service_stop(struct call *c)
{
	pthread_mutex_lock(&c->d->lock);
	struct running *r = find(c->d, self(c));
	if (r)
		map_remove(c->d->services, str_c(self(c)->object.id));
	pthread_mutex_unlock(&c->d->lock);
	if (r)
		end(r);
	return give_id(c);
}

struct err *resolve_service_hostname(struct call *c)
{
	gql_out_string(c->out, str_c(self(c)->hostname));
	return NULL;
}

struct err *resolve_service_with_hostname(struct call *c)
{
	struct service *s = service_new(c);
	const struct service *from = self(c);

	s->node = from->node;
	s->container = from->container;
	s->hostname = keep_text(c->d, arg_text(c, ARG_Service_withHostname_hostname));
	for (size_t i = 0; i < from->ports.len; i++)
		vec_push_copy(&s->ports, vec_at(&from->ports, i));
	call_give(c, s);
	return NULL;
}

struct err *resolve_service_ports(struct call *c)
{
	const struct service *s = self(c);
	void **list = arena_array(c->arena, s->ports.len + 1, sizeof(*list));

	for (size_t i = 0; i < s->ports.len; i++)
		list[i] = port_new(c, vec_at(&s->ports, i));
	call_give_list(c, list, s->ports.len);
	return NULL;
}

struct err *resolve_service_endpoint(struct call *c)
{
	const struct service *s = self(c);
	const char *scheme = arg_text(c, ARG_Service_endpoint_scheme);
	int64_t port = arg_int(c, ARG_Service_endpoint_port, 0);

	if (!port && !s->ports.len)
		return err_hint(err_new(ERR_INVALID, "the service exposes no port"),
			"name one, or call withExposedPort");
	if (!port)
		port = ((struct exposed_port *)vec_at(&s->ports, 0))->port;
	AUTO_FREE char *text = mem_printf("%s%s%s:%lld", scheme && *scheme ? scheme : "",
		scheme && *scheme ? "://" : "", s->hostname, (long long)port);
	gql_out_string(c->out, str_c(text));
	return NULL;
}

/* Ports of the host: the same number on both sides, as all share one network. */
static struct err *same_ports(struct call *c, unsigned arg, struct service *s)
{
	size_t count;
	const struct gql_value *items = arg_items(c, arg, &count);

	for (size_t i = 0; i < count; i++) {
		const struct gql_value *backend = gql_member(&items[i], "backend"),
				       *front = gql_member(&items[i], "frontend");
		int port = backend && backend->kind == GQL_INT ? (int)backend->i : 0;
		if (front && front->kind == GQL_INT && front->i != port)
			return err_hint(
				err_new(ERR_UNSUPPORTED,
					"not supported by cooper: port %d under another number", port),
				"steps and services share the host's network: use the port itself");
		vec_push_copy(&s->ports, &(struct exposed_port){.port = port, .skip_health = true});
	}
	return NULL;
}

struct err *resolve_host_service(struct call *c)
{
	struct service *s = service_new(c);

	TRY(same_ports(c, ARG_Host_service_ports, s));
	call_give(c, s);
	return NULL;
}

struct err *resolve_host_tunnel(struct call *c)
{
	struct service *s = service_new(c), *to = NULL;

	TRY(arg_object(c, ARG_Host_tunnel_service, "Service", (void **)&to));
	TRY(same_ports(c, ARG_Host_tunnel_ports, s));
	s->node = to->node;
	s->container = to->container;
	if (!s->ports.len)
		for (size_t i = 0; i < to->ports.len; i++)
			vec_push_copy(&s->ports, vec_at(&to->ports, i));
	call_give(c, s);
	return NULL;
}

struct err *resolve_address_service(struct call *c)
{
	struct service *s = service_new(c);
	const char *text = ((const struct text *)(const void *)c->self)->text;
	const char *colon = strrchr(text, ':');
	uint64_t port = 0;

	if (!colon || !str_to_u64(str_c(colon + 1), &port) || !port || port > 65535)
		return err_new(ERR_INVALID, "\"%s\" is not the address of a service: tcp://HOST:PORT", text);
	vec_push_copy(&s->ports, &(struct exposed_port){.port = (int)port, .skip_health = true});
	call_give(c, s);
	return NULL;
}

/* Until the session ends or who asked goes away. */
struct err *resolve_service_up(struct call *c)
{
	TRY(start(c, self(c)));
	while (!cancel_is_set(c->cancel)) {
		pthread_mutex_lock(&c->d->lock);
		struct running *r = find(c->d, self(c));
		pthread_mutex_unlock(&c->d->lock);
		if (r)
			TRY(has_ended(r, self(c)->hostname));
		usleep(100000);
	}
	return cancel_check(c->cancel);
}
