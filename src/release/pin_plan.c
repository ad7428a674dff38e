/* SPDX-License-Identifier: Apache-2.0 */
/* Which pins to set, to what, and whether that may be. */
#include "base/mem.h"
#include "base/path.h"
#include "release/pin_internal.h"
#include "release/release_internal.h"

#include <string.h>

void pin_plan_fini(struct pin_plan *p)
{
	mem_freep(&p->image);
	mem_freep(&p->prefix);
	mem_freep(&p->main);
	manifest_scan_fini(&p->scan);
	for (size_t i = 0; i < p->tags.len; i++)
		pin_tag_fini(vec_at(&p->tags, i));
	vec_fini(&p->tags);
	vec_fini(&p->targets);
	vec_fini(&p->left);
	strvec_fini(&p->warnings);
	strvec_fini(&p->files);
	buf_fini(&p->diff);
	*p = (struct pin_plan){0};
}

/* What planning needs. */
struct planning {
	const struct pin_request *rq;
	struct repo_config config;
	struct container container;
	bool has_container;
	struct vec pins; /* of const struct pin *: all of the image */
	struct vec chosen;
	struct pin_plan *out;
};

static void planning_fini(struct planning *p)
{
	repo_config_fini(&p->config);
	container_fini(&p->container);
	vec_fini(&p->pins);
	vec_fini(&p->chosen);
}

static const struct pin *pin_at(const struct vec *v, size_t i)
{
	return *(const struct pin *const *)vec_at(v, i);
}

/* The folder of a container may be gone while its image is still in use. */
static struct err *find_pins(struct planning *p)
{
	const struct pin_request *rq = p->rq;
	struct err *no_container = repo_container(rq->repo, &p->config, NULL, rq->name, &p->container);
	struct pin_plan *out = p->out;
	p->has_container = no_container == NULL;
	out->image = release_image(&p->config, rq->name);
	out->prefix = release_prefix(&p->config);
	struct err *e = manifests_scan(rq->repo, &p->config, NULL, out->prefix, &out->scan);
	for (size_t i = 0; i < out->scan.pins.len && !e; i++) {
		const struct pin *pin = vec_at(&out->scan.pins, i);
		if (cstr_eq(pin->name, rq->name))
			vec_push_copy(&p->pins, &pin);
	}
	if (!e && !p->pins.len && !no_container)
		e = err_hint(err_new(ERR_NOT_FOUND, "no manifest names %s", out->image),
			"give its image in the manifests once, like %s:v1.0-0000000", out->image);
	if (!e && !p->pins.len)
		return no_container;
	err_free(no_container);
	return e;
}

/* The services that name the image, each once; env: in texts too. */
static void services_of(const struct planning *p, struct strvec *out)
{
	for (size_t i = 0; i < p->pins.len; i++) {
		const struct pin *pin = pin_at(&p->pins, i);
		if ((pin->form != PIN_ENV || p->rq->env) && !strvec_has(out, pin->service))
			strvec_push(out, pin->service);
	}
}

static struct err *which_of(const struct planning *p, const struct strvec *services)
{
	AUTO_BUF struct buf list = {0};
	for (size_t i = 0; i < services->len; i++)
		buf_addf(&list, "%s%s", i ? ", " : "", *services->ptr[i] ? services->ptr[i] : "(none)");
	if (p->rq->service)
		return err_hint(err_new(ERR_NOT_FOUND, "service \"%s\" does not name %s", p->rq->service,
					p->out->image),
			"those do: %s", buf_cstr(&list));
	return err_hint(
		err_new(ERR_INVALID, "%s is pinned in several services: %s", p->out->image, buf_cstr(&list)),
		"say which with --service S, or change them together with --all-services");
}

static struct err *only_texts(const struct planning *p)
{
	const struct pin *pin = pin_at(&p->pins, 0);
	return err_hint(err_new(ERR_INVALID, "%s:%u: %s is named only in texts of env or args", pin->file,
				pin->line, p->out->image),
		"--env changes those too");
}

/* *service NULL: all of them. */
static struct err *choose_service(const struct planning *p, const char **service)
{
	AUTO_STRVEC struct strvec services = {0};
	services_of(p, &services);
	*service = NULL;
	if (!services.len)
		return only_texts(p);
	if (p->rq->all_services)
		return NULL;
	*service = p->rq->service ? p->rq->service : p->rq->name;
	if (strvec_has(&services, *service))
		return NULL;
	if (p->rq->service || services.len > 1)
		return which_of(p, &services);
	*service = NULL;
	return NULL;
}

static void choose_pins(struct planning *p, const char *service)
{
	for (size_t i = 0; i < p->pins.len; i++) {
		const struct pin *pin = pin_at(&p->pins, i);
		if (service && !cstr_eq(pin->service, service))
			vec_push_copy(&p->out->left, &(struct pin_left){pin, PIN_LEFT_SERVICE});
		else if (pin->form == PIN_ENV && !p->rq->env)
			vec_push_copy(&p->out->left, &(struct pin_left){pin, PIN_LEFT_ENV});
		else
			vec_push_copy(&p->chosen, &pin);
	}
}

static bool in_service(const struct planning *p, const char *file, const char *service)
{
	for (size_t i = 0; service && i < p->config.manifests.len; i++) {
		AUTO_FREE char *folder = path_join(p->config.manifests.ptr[i], service);
		if (path_below(file, folder))
			return true;
	}
	return !service;
}

/* A manifest that cannot be read may name the image, too. */
static void warn_unread(struct planning *p, const char *service)
{
	const struct manifest_scan *s = &p->out->scan;
	for (size_t i = 0; i < s->problems.len; i++) {
		const struct manifest_problem *problem = vec_at(&s->problems, i);
		if (!problem->sentinel && in_service(p, problem->file, service))
			strvec_push(&p->out->warnings, problem->text);
	}
}

static struct err *check_changeable(const struct planning *p)
{
	for (size_t i = 0; i < p->chosen.len; i++) {
		const struct pin *pin = pin_at(&p->chosen, i);
		if (pin->problem && !pin->repairable)
			return err_hint(err_new(ERR_INVALID, "%s", pin->problem),
				"correct it by hand; nothing was changed");
	}
	return NULL;
}

static const struct pin_tag *tag_of_kind(const struct pin_plan *p, bool nix)
{
	for (size_t i = 0; i < p->tags.len; i++) {
		const struct pin_tag *t = vec_at(&p->tags, i);
		if (t->nix == nix)
			return t;
	}
	return NULL;
}

static void add_target(struct planning *p, const struct pin *pin, const struct pin_tag *t)
{
	vec_push_copy(&p->out->targets,
		&(struct pin_target){.pin = pin, .tag = t->tag, .digest = t->digest, .env = p->rq->env});
}

/* The tag asked for, or the newest of each kind that is pinned. */
static struct err *find_tags(struct planning *p)
{
	struct pin_plan *out = p->out;
	const struct pin_tag_search s = {
		.rq = p->rq,
		.config = &p->config,
		.image = out->image,
		.container = p->has_container ? &p->container : NULL,
	};
	if (p->rq->tag)
		TRY(pin_tag_find(&s, p->rq->tag, vec_push(&out->tags)));
	for (size_t i = 0; i < p->chosen.len; i++) {
		const struct pin *pin = pin_at(&p->chosen, i);
		bool nix = pin->tag && cstr_ends(pin->tag, "-nix");
		if (p->rq->tag) {
			add_target(p, pin, vec_at(&out->tags, 0));
			continue;
		}
		if (!pin->tag)
			TRY(pin_digest_kind(&s, pin, &nix));
		if (!tag_of_kind(out, nix))
			TRY(pin_tag_newest(&s, nix, vec_push(&out->tags)));
		add_target(p, pin, tag_of_kind(out, nix));
	}
	return NULL;
}

static struct err *check_provenance(const struct planning *p)
{
	for (size_t i = 0; i < p->out->tags.len && !p->rq->allow_branch; i++) {
		const struct pin_tag *t = vec_at(&p->out->tags, i);
		const char *hint = "merge it and release from main, or --allow-branch";
		if (t->provenance == PROVENANCE_BRANCH)
			return err_hint(
				err_new(ERR_INVALID, "%s:%s [branch]: commit %s (\"%s\") is not on %s",
					p->out->image, t->tag, t->commit.short_id, t->commit.subject,
					p->out->main ? p->out->main : "main"),
				"%s", hint);
		if (t->provenance == PROVENANCE_UNKNOWN)
			return err_hint(err_new(ERR_INVALID, "%s:%s [unknown]: %s", p->out->image, t->tag,
						t->reason ? t->reason : "it is not known where it is from"),
				"%s", hint);
	}
	return NULL;
}

/* What a tag says of its version, whether it names a commit or not; "" if nothing. Borrowed. */
static const char *version_in(const char *tag, const struct trace *t)
{
	if (t->version)
		return t->version;
	tag += *tag == 'v';
	return *tag >= '0' && *tag <= '9' ? tag : "";
}

static bool is_downgrade(const char *old, const struct trace *from, const char *new, const struct trace *to)
{
	const char *a = version_in(old, from), *b = version_in(new, to);
	if (!*a || !*b)
		return false;
	int order = version_cmp(b, a);
	bool both_main = from->provenance == PROVENANCE_MAIN && to->provenance == PROVENANCE_MAIN;
	return order < 0 || (order == 0 && both_main && to->time < from->time);
}

static struct err *downgrade(const struct planning *p, const struct pin_target *t)
{
	return err_hint(err_new(ERR_INVALID, "%s:%u: %s is older than %s, which is pinned", t->pin->file,
				t->pin->line, t->tag, t->pin->tag),
		"--allow-downgrade sets it all the same; \"cooper list %s\" shows what there is",
		p->rq->name);
}

static struct err *check_downgrades(const struct planning *p)
{
	size_t count = p->out->targets.len;
	AUTO_FREE const char **tags = mem_array(2 * count + 1, sizeof(*tags));
	AUTO_FREE struct trace *traces = mem_array(2 * count + 1, sizeof(*traces));
	for (size_t i = 0; i < count; i++) {
		const struct pin_target *t = vec_at(&p->out->targets, i);
		tags[2 * i] = t->pin->tag;
		tags[2 * i + 1] = t->tag;
	}
	struct err *e = trace_tags(p->rq->repo, tags, traces, 2 * count); /* in one walk */
	for (size_t i = 0; i < count && !e; i++) {
		const struct pin_target *t = vec_at(&p->out->targets, i);
		if (t->pin->tag && is_downgrade(t->pin->tag, &traces[2 * i], t->tag, &traces[2 * i + 1]))
			e = downgrade(p, t);
	}
	for (size_t i = 0; i < 2 * count; i++)
		trace_fini(&traces[i]);
	return e;
}

static struct err *make(struct planning *p)
{
	struct pin_plan *out = p->out;
	const char *service = NULL;
	TRY(repo_config_load(p->rq->repo, NULL, &p->config));
	TRY(find_pins(p));
	TRY(choose_service(p, &service));
	choose_pins(p, service);
	warn_unread(p, service);
	TRY(check_changeable(p));
	TRY(repo_main(p->rq->repo, &out->main, NULL));
	TRY(find_tags(p));
	TRY(check_provenance(p));
	if (!p->rq->allow_downgrade)
		TRY(check_downgrades(p));
	return pins_preview(
		p->rq->repo, out->prefix, out->targets.ptr, out->targets.len, &out->files, &out->diff);
}

struct err *pin_plan_make(const struct pin_request *rq, struct pin_plan *out)
{
	*out = (struct pin_plan){
		.tags = VEC_OF(struct pin_tag),
		.targets = VEC_OF(struct pin_target),
		.left = VEC_OF(struct pin_left),
	};
	AUTO(planning_fini)
	struct planning p = {.rq = rq,
		.pins = VEC_OF(const struct pin *),
		.chosen = VEC_OF(const struct pin *),
		.out = out};
	struct err *e = make(&p);
	if (e)
		pin_plan_fini(out);
	return e;
}

static void add_subject(const struct pin_plan *p, struct buf *b)
{
	AUTO_STRVEC struct strvec values = {0};
	for (size_t i = 0; i < p->targets.len; i++) {
		const struct pin_target *t = vec_at(&p->targets, i);
		AUTO_FREE char *value = pin_target_value_text(t);
		if (!pin_target_is_set(t) && t->pin->tag && !strvec_has(&values, t->tag))
			strvec_push(&values, t->tag);
		else if (!pin_target_is_set(t) && !t->pin->tag && !strvec_has(&values, value))
			strvec_push(&values, value);
	}
	const struct pin_target *first = vec_at(&p->targets, 0);
	buf_addf(b, "Pin %s to ", first->pin->name);
	for (size_t i = 0; i < values.len; i++)
		buf_addf(b, "%s%s", i ? " and " : "", values.ptr[i]);
	buf_adds(b, "\n\n");
}

static void add_origin(const struct pin_plan *p, const struct pin_tag *t, struct buf *b)
{
	const char *main = p->main ? p->main : "main";
	if (t->provenance == PROVENANCE_UNKNOWN)
		buf_addf(b, "%s: it is not known where it is from (%s).\n", t->tag,
			t->reason ? t->reason : "?");
	else
		buf_addf(b, "%s: built from %s (\"%s\"), which is %son %s.\n", t->tag, t->commit.short_id,
			t->commit.subject, t->provenance == PROVENANCE_MAIN ? "" : "not ", main);
}

char *pin_plan_message(const struct pin_plan *p)
{
	AUTO_BUF struct buf b = {0};
	add_subject(p, &b);
	for (size_t i = 0; i < p->targets.len; i++) {
		const struct pin_target *t = vec_at(&p->targets, i);
		AUTO_FREE char *text = pin_target_text(t);
		if (!pin_target_is_set(t))
			buf_addf(&b, "%s\n", text);
	}
	buf_adds(&b, "\n");
	for (size_t i = 0; i < p->tags.len; i++)
		add_origin(p, vec_at(&p->tags, i), &b);
	return buf_steal(&b);
}
