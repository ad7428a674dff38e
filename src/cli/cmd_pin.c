/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"
#include "base/mem.h"
#include "cli/cmds.h"
#include "release/pin.h"

struct pin_args {
	const char *tag, *service;
	bool all_services, env, allow_branch, allow_downgrade, dry_run, commit, json;
};

#define OPT(field) offsetof(struct pin_args, field)

static const struct option options[] = {
	{"tag", 0, OPTION_TEXT, "TAG", OPT(tag),
		"the tag to set (default: the newest that was built from main, of the kind that is pinned)"},
	{"service", 0, OPTION_TEXT, "SERVICE", OPT(service), "the folder of the manifests to change"},
	{"all-services", 0, OPTION_FLAG, NULL, OPT(all_services),
		"change every service that names the image"},
	{"env", 0, OPTION_FLAG, NULL, OPT(env), "also where a text of env, args or a ConfigMap names it"},
	{"allow-branch", 0, OPTION_FLAG, NULL, OPT(allow_branch),
		"also a branch's tag, without --tag the newest of all; with --tag also one of unknown "
		"origin"},
	{"allow-downgrade", 0, OPTION_FLAG, NULL, OPT(allow_downgrade),
		"also an older tag than the pinned one"},
	{"dry-run", 'n', OPTION_FLAG, NULL, OPT(dry_run), "show what would change, as a diff"},
	{"commit", 0, OPTION_FLAG, NULL, OPT(commit), "commit the changed files, and nothing else, with git"},
	{"json", 0, OPTION_FLAG, NULL, OPT(json), "print JSON"},
};

static const char *why_left(enum pin_left_why why)
{
	return why == PIN_LEFT_SERVICE ? "of another service (--all-services)" : "in a text (--env)";
}

static char *pinned_text(const struct pin *p)
{
	if (p->tag && p->digest)
		return mem_printf("%s@%s", p->tag, p->digest);
	return mem_strdup(p->tag ? p->tag : p->digest ? p->digest : "(nothing)");
}

static void print_kept(struct cli *c, const struct pin *p, const char *what)
{
	AUTO_FREE char *now = pinned_text(p);
	AUTO_FREE char *text = mem_printf("%s:%u: %s %s %s", p->file, p->line, p->image, now, what);

	cstr_make_visible(text); /* names of files are anybody's */
	fprintf(c->out, "%s\n", text);
}

static void print_people(struct cli *c, const struct pin_plan *p)
{
	for (size_t i = 0; i < p->targets.len; i++) {
		const struct pin_target *t = vec_at(&p->targets, i);
		AUTO_FREE char *text = pin_target_text(t);
		if (pin_target_is_set(t))
			print_kept(c, t->pin, "already");
		else
			fprintf(c->out, "%s\n", text);
	}
	for (size_t i = 0; i < p->left.len; i++) {
		const struct pin_left *l = vec_at(&p->left, i);
		AUTO_FREE char *what = mem_printf("left alone: %s", why_left(l->why));
		print_kept(c, l->pin, what);
	}
}

static json_t *value_json(const char *tag, const char *digest)
{
	json_t *o = json_object();

	json_set_text(o, "tag", tag);
	json_set_text(o, "digest", digest);
	return o;
}

static json_t *pin_json(const struct pin *p)
{
	json_t *o = json_object();

	json_set_text(o, "file", p->file);
	json_object_set_new(o, "line", json_integer(p->line));
	json_set_text(o, "service", p->service);
	json_set_text(o, "form", pin_form_name(p->form));
	json_set_text(o, "image", p->image);
	json_object_set_new(o, "old", value_json(p->tag, p->digest));
	return o;
}

static json_t *pins_json(const struct pin_plan *p)
{
	json_t *list = json_array();

	for (size_t i = 0; i < p->targets.len; i++) {
		const struct pin_target *t = vec_at(&p->targets, i);
		json_t *o = pin_json(t->pin);
		json_object_set_new(
			o, "new", value_json(t->pin->tag ? t->tag : NULL, t->pin->digest ? t->digest : NULL));
		json_object_set_new(o, "changed", json_boolean(!pin_target_is_set(t)));
		json_array_append_new(list, o);
	}
	for (size_t i = 0; i < p->left.len; i++) {
		const struct pin_left *l = vec_at(&p->left, i);
		json_t *o = pin_json(l->pin);
		json_object_set_new(o, "changed", json_false());
		json_set_text(o, "left", why_left(l->why));
		json_array_append_new(list, o);
	}
	return list;
}

static json_t *tags_json(const struct pin_plan *p)
{
	static const char *const names[] = {"main", "branch", "unknown"};
	json_t *list = json_array();

	for (size_t i = 0; i < p->tags.len; i++) {
		const struct pin_tag *t = vec_at(&p->tags, i);
		json_t *o = value_json(t->tag, t->digest);
		json_set_text(o, "provenance", names[t->provenance]);
		json_set_text(o, "reason", t->reason);
		if (*t->commit.id)
			json_set_text(o, "commit", t->commit.id);
		json_array_append_new(list, o);
	}
	return list;
}

static void print_json(
	struct cli *c, const struct pin_plan *p, const struct pin_args *args, const struct commit *commit)
{
	AUTO_JSON json_t *o = json_object();

	json_set_text(o, "image", p->image);
	json_object_set_new(o, "tags", tags_json(p));
	json_object_set_new(o, "pins", pins_json(p));
	json_object_set_new(o, "files", json_from_strings(strvec_list(&p->files)));
	if (args->dry_run)
		json_object_set_new(o, "diff", json_text(buf_cstr(&p->diff)));
	if (*commit->id)
		json_set_text(o, "commit", commit->id);
	AUTO_FREE char *text = json_dump_pretty(o);
	fprintf(c->out, "%s\n", text);
}

static struct err *apply(struct cli *c, const struct pin_args *args, struct repo *repo,
	const struct pin_plan *p, struct commit *commit)
{
	if (!p->files.len)
		return NULL;
	if (args->commit)
		TRY(repo_check_committed(repo, &p->files));
	if (args->dry_run)
		return NULL;
	TRY(pins_write(repo, p->prefix, p->targets.ptr, p->targets.len, NULL));
	if (!args->commit)
		return NULL;
	AUTO_FREE char *message = pin_plan_message(p);
	return repo_commit_files(repo, &p->files, message, c->cancel, commit);
}

static void print_plan(struct cli *c, const struct pin_args *args, const struct pin_plan *p)
{
	for (size_t i = 0; i < p->warnings.len; i++)
		fprintf(c->err, "warning: %s\n", p->warnings.ptr[i]);
	if (args->json)
		return;
	print_people(c, p);
	if (!args->dry_run || !p->files.len)
		return;
	fprintf(c->out, "%s", buf_cstr(&p->diff));
	AUTO_FREE char *message = args->commit ? pin_plan_message(p) : NULL;
	if (message)
		fprintf(c->out, "\n%s", message);
}

static struct err *run(struct cli *c, void *args, const struct strvec *operands)
{
	const struct pin_args *pa = args;
	AUTO(engine_closep) struct engine *eng = NULL;
	AUTO(repo_freep) struct repo *repo = NULL;
	AUTO(pin_plan_fini) struct pin_plan plan = {0};
	AUTO(commit_fini) struct commit commit = {0};
	struct pin_request rq = {
		.name = operands->ptr[0],
		.tag = pa->tag,
		.service = pa->service,
		.all_services = pa->all_services,
		.env = pa->env,
		.allow_branch = pa->allow_branch,
		.allow_downgrade = pa->allow_downgrade,
		.cancel = c->cancel,
	};

	if (pa->service && pa->all_services)
		return err_new(ERR_USAGE, "--service and --all-services exclude each other");
	TRY(repo_open(".", &repo));
	TRY(engine_open(&c->engine, &eng));
	rq.engine = eng;
	rq.repo = repo;
	TRY(pin_plan_make(&rq, &plan));
	print_plan(c, pa, &plan);
	fflush(c->out);
	TRY(apply(c, pa, repo, &plan, &commit));
	if (pa->json)
		print_json(c, &plan, pa, &commit);
	else if (*commit.id)
		fprintf(c->out, "committed %s  %s\n", commit.short_id, commit.subject);
	return NULL;
}

const struct command cmd_pin = {
	.name = "pin",
	.summary = "set the manifests to a released tag, and change no other byte of them",
	.operands = "NAME",
	.details =
		"Without --tag each pin of container NAME gets the newest tag that was built from main, of "
		"the "
		"kind it has: one that ends with -nix stays so. A pin with a digest gets the new image's. "
		"The "
		"service (folder of the manifests) that is changed is that of --service; else the one called "
		"NAME, if it names the image; else the only one that does. A tag that is not from main, and "
		"an "
		"older one, are refused. Pins that an edit cannot change alone (aliases, blocks of text, "
		"keys "
		"that stand twice) are refused with file and line, and then nothing is written. With "
		"--commit "
		"the files must have no changes of their own.",
	.min = 1,
	.max = 1,
	.options = options,
	.option_count = ARRAY_LEN(options),
	.args_size = sizeof(struct pin_args),
	.run = run,
};
