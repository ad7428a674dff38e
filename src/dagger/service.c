/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Services: containers that run while others work. They run in the host's network, as steps do, so that a
 * service is reached at 127.0.0.1; a binding is a name for that. What a step is bound to is started when
 * something asks for what the step gives.
 */
#include "base/mem.h"
#include "dagger/dagger_schema.h"
#include "dagger/relay.h"
#include "dagger/service_internal.h"

#include <string.h>
#include <unistd.h>

static struct service *self(struct call *c)
{
	return (struct service *)(void *)c->self;
}

/* ---- names ---- */

/* Its sources may be others in the next session. */
static bool changes(const struct op *op)
{
	return op->kind == OP_LOCAL || (op->kind == OP_HTTP && !op->http.checksum) ||
	       (op->kind == OP_IMAGE && !strchr(op->image.ref, '@'));
}

static bool any_changes(const struct node *n)
{
	struct vec stack = VEC_OF(const struct node *);
	AUTO(map_freep) struct map *seen = map_new(NULL);
	bool found = !n;

	if (n)
		vec_push_copy(&stack, &n);
	while (stack.len && !found) {
		const struct node *at = *(const struct node **)vec_at(&stack, stack.len - 1);
		vec_remove(&stack, stack.len - 1);
		struct str key = str_n((const char *)&at, sizeof(at));
		if (map_has(seen, key))
			continue;
		map_set(seen, key, &stack);
		found = changes(node_op(at));
		for (size_t i = 0; i < node_input_count(at); i++) {
			const struct node *in = node_input(at, i);
			if (in)
				vec_push_copy(&stack, &in);
		}
	}
	vec_fini(&stack);
	return found;
}

/* A name that no other service has: what a step makes depends on whom it talks to. */
static void add_own_name(struct dagger *d, const struct service *s, struct strvec *hosts)
{
	AUTO(hasher_freep) struct hasher *h = hasher_new(DIGEST_SHA256);
	char text[DIGEST_TEXT_MAX];
	struct digest digest;

	while (s->target)
		s = s->target;
	hasher_add_field(h, str_c(s->node ? digest_text(node_digest(s->node), text) : s->object.id));
	if (any_changes(s->node))
		hasher_add_field(h, str_c(d->nonce));
	hasher_finish(h, &digest);
	strvec_pushf(hosts, "service-%.12s=127.0.0.1", digest_hex(&digest, text));
}

void services_hosts(struct dagger *d, const struct container *ct, struct strvec *hosts)
{
	for (size_t i = 0; i < ct->services.len; i++) {
		const struct service_binding *b = vec_at(&ct->services, i);
		strvec_pushf(hosts, "%s=127.0.0.1", b->alias);
		if (!cstr_eq(b->service->hostname, "localhost"))
			strvec_pushf(hosts, "%s=127.0.0.1", b->service->hostname);
		add_own_name(d, b->service, hosts);
	}
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

	if (arg_flag(c, ARG_Container_asService_experimentalPrivilegedNesting))
		return err_new(ERR_UNSUPPORTED,
			"not supported by cooper: Container.asService(experimentalPrivilegedNesting: true)");
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
	TRY(service_use(c, self(c), true));
	return give_id(c);
}

struct err *resolve_service_sync(struct call *c)
{
	return give_id(c);
}

struct err *resolve_service_stop(struct call *c)
{
	service_stop(c->d, self(c));
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
	s->target = from->target;
	for (size_t i = 0; i < from->forwards.len; i++)
		vec_push_copy(&s->forwards, vec_at(&from->forwards, i));
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

/* ---- ports of the host ---- */

/* A number of its own is a port of this machine that leads to backend of host. */
static struct err *add_forward(
	struct call *c, struct service *s, const struct gql_value *item, const char *host)
{
	const struct gql_value *back = gql_member(item, "backend"), *front = gql_member(item, "frontend"),
			       *protocol = gql_member(item, "protocol");
	int backend = back && back->kind == GQL_INT ? (int)back->i : 0;
	int frontend = front && front->kind == GQL_INT && front->i ? (int)front->i : backend;
	bool udp = protocol && cstr_eq(value_text(c, protocol), "UDP");
	bool here = cstr_eq(host, "localhost") || cstr_eq(host, "127.0.0.1");

	if (backend < 1 || backend > 65535 || frontend < 1 || frontend > 65535)
		return err_new(ERR_INVALID, "%d to %d are not ports", frontend, backend);
	vec_push_copy(&s->ports, &(struct exposed_port){.port = frontend, .udp = udp, .skip_health = true});
	if (frontend == backend && here)
		return NULL;
	if (udp)
		return err_new(ERR_UNSUPPORTED, "not supported by cooper: UDP port %d under another number",
			backend);
	vec_push_copy(&s->forwards,
		&(struct forward){frontend, backend, keep_text(c->d, here ? "127.0.0.1" : host)});
	return NULL;
}

static struct err *add_forwards(struct call *c, struct service *s, unsigned arg, const char *host)
{
	size_t count;
	const struct gql_value *items = arg_items(c, arg, &count);

	for (size_t i = 0; i < count; i++)
		TRY(add_forward(c, s, &items[i], host));
	return NULL;
}

struct err *resolve_host_service(struct call *c)
{
	struct service *s = service_new(c);
	const char *host = arg_text(c, ARG_Host_service_host);

	TRY(add_forwards(c, s, ARG_Host_service_ports, host && *host ? host : "localhost"));
	if (!s->ports.len)
		return err_new(ERR_INVALID, "a service of the host needs at least one port");
	call_give(c, s);
	return NULL;
}

/* Its ports are the host's already: only other numbers need anything. */
struct err *resolve_host_tunnel(struct call *c)
{
	struct service *s = service_new(c);

	TRY(arg_object(c, ARG_Host_tunnel_service, "Service", (void **)&s->target));
	TRY(add_forwards(c, s, ARG_Host_tunnel_ports, "localhost"));
	for (size_t i = 0; i < s->target->ports.len; i++)
		if (!s->forwards.len || arg_flag(c, ARG_Host_tunnel_native))
			vec_push_copy(&s->ports, vec_at(&s->target->ports, i));
	if (!s->ports.len)
		return err_hint(err_new(ERR_INVALID, "the service exposes no port"), "call withExposedPort");
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
	const char *host = strstr(text, "://") ? strstr(text, "://") + 3 : text;
	const char *name = arena_strndup(c->arena, host, (size_t)(colon > host ? colon - host : 0));
	if (*name && !cstr_eq(name, "localhost") && !cstr_eq(name, "127.0.0.1"))
		vec_push_copy(&s->forwards, &(struct forward){(int)port, (int)port, keep_text(c->d, name)});
	vec_push_copy(&s->ports, &(struct exposed_port){.port = (int)port, .skip_health = true});
	call_give(c, s);
	return NULL;
}

static struct err *relay_all(const struct service *s, struct vec *relays)
{
	for (size_t i = 0; i < s->forwards.len; i++) {
		const struct forward *f = vec_at(&s->forwards, i);
		struct relay *relay = NULL;
		TRY(relay_start(f->frontend, f->host, f->backend, &relay));
		vec_push_copy(relays, &relay);
	}
	return NULL;
}

/* Until the session ends or who asked goes away. */
struct err *resolve_service_up(struct call *c)
{
	struct vec relays = VEC_OF(struct relay *);
	struct service *ports = service_new(c);

	if (arg_flag(c, ARG_Service_up_random))
		return err_hint(err_new(ERR_UNSUPPORTED, "not supported by cooper: Service.up(random: true)"),
			"its ports are the host's: it is reached at those it exposes");
	TRY(add_forwards(c, ports, ARG_Service_up_ports, "localhost"));
	TRY(service_use(c, self(c), false));
	struct err *e = relay_all(ports, &relays);
	while (!e && !cancel_is_set(c->cancel)) {
		e = service_check(c->d, self(c));
		usleep(100000);
	}
	for (size_t i = 0; i < relays.len; i++)
		relay_stop(*(struct relay **)vec_at(&relays, i));
	vec_fini(&relays);
	return e ? e : cancel_check(c->cancel);
}
