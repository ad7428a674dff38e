/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/evaluate.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/path.h"
#include "engine/engine_internal.h"
#include "sys/userns.h"

#include <string.h>

void evaluation_init(struct evaluation *e)
{
	*e = (struct evaluation){.list = VEC_OF(struct build_input)};
}

void evaluation_fini(struct evaluation *e)
{
	for (size_t i = 0; i < e->list.len; i++) {
		struct build_input *in = vec_at(&e->list, i);
		mem_freep(&in->name);
		mem_freep(&in->state);
		mem_freep(&in->file);
	}
	vec_fini(&e->list);
	json_unrefp(&e->config);
	strvec_fini(&e->annotations);
	evaluation_init(e);
}

struct build_input *evaluation_add(struct evaluation *e, enum input_kind kind, const char *name)
{
	struct build_input *in = vec_push(&e->list);

	in->kind = kind;
	in->name = mem_strdup(name);
	return in;
}

/* ---- as a document ---- */

static const char *const kind_names[INPUT_KINDS] = {
	"file", "image", "url", "git", "step", "config", "setting", "derivation", "script"};

const char *input_kind_name(enum input_kind k)
{
	return kind_names[k];
}

static json_t *input_json(const struct build_input *in)
{
	json_t *o = json_object();

	json_set_text(o, "kind", input_kind_name(in->kind));
	json_set_text(o, "name", in->name);
	json_set_text(o, "state", in->state);
	json_set_text(o, "file", in->file);
	if (in->line)
		json_object_set_new(o, "line", json_integer(in->line));
	return o;
}

json_t *evaluation_json(const struct evaluation *e)
{
	json_t *o = json_object(), *list = json_array();
	char text[DIGEST_TEXT_MAX];

	json_set_text(o, "inputs", digest_text(&e->inputs, text));
	if (e->config)
		json_object_set(o, "config", e->config);
	if (e->annotations.len)
		json_object_set_new(o, "annotations", json_from_strings(strvec_list(&e->annotations)));
	for (size_t i = 0; i < e->list.len; i++)
		json_array_append_new(list, input_json(vec_at(&e->list, i)));
	json_object_set_new(o, "list", list);
	return o;
}

#define WHAT "the record of what an image was made from"

static struct err *parse_input(const json_t *o, struct evaluation *out)
{
	const char *kind = NULL, *name = NULL, *state = NULL, *file = NULL;
	int64_t line = 0;
	size_t k = 0;

	TRY(json_get_string(o, "kind", WHAT, &kind));
	TRY(json_get_string(o, "name", WHAT, &name));
	TRY(json_get_string(o, "state", WHAT, &state));
	TRY(json_get_string(o, "file", WHAT, &file));
	TRY(json_get_int(o, "line", WHAT, &line));
	while (k < INPUT_KINDS && !cstr_eq(kind_names[k], kind))
		k++;
	if (k == INPUT_KINDS || !name || !state || line < 0 || line > UINT32_MAX)
		return err_new(ERR_INVALID, WHAT ": an input lacks kind, name or state");
	struct build_input *in = evaluation_add(out, (enum input_kind)k, name);
	in->state = mem_strdup(state);
	in->file = mem_strdup(file);
	in->line = (uint32_t)line;
	return NULL;
}

static struct err *parse(struct str text, struct evaluation *out)
{
	AUTO_JSON json_t *o = NULL;
	json_t *list = NULL, *config = NULL;
	const char *inputs = NULL;

	TRY(json_parse(text, WHAT, &o));
	TRY(json_get_string(o, "inputs", WHAT, &inputs));
	TRY(digest_parse(str_c(inputs), &out->inputs));
	TRY(json_get_object(o, "config", WHAT, &config));
	out->config = json_incref(config);
	TRY(json_get_strings(o, "annotations", WHAT, &out->annotations));
	TRY(json_get_array(o, "list", WHAT, &list));
	for (size_t i = 0; i < json_array_size(list); i++)
		TRY(parse_input(json_array_get(list, i), out));
	return NULL;
}

struct err *evaluation_parse(struct str text, struct evaluation *out)
{
	AUTO(evaluation_fini) struct evaluation e;

	evaluation_init(&e);
	TRY(parse(text, &e));
	*out = e;
	evaluation_init(&e);
	return NULL;
}

/* ---- of a build ---- */

struct collecting {
	struct build *build;
	const char *root; /* directory that paths of the machine are relative to; NULL: none */
	struct map *seen; /* "kind name state" -> once is enough */
	struct evaluation *out;
};

/* Takes state. */
static struct build_input *add_once(struct collecting *c, enum input_kind kind, const char *name, char *state)
{
	AUTO_FREE char *owned = state;
	AUTO_FREE char *key = mem_printf("%s\n%s\n%s", input_kind_name(kind), name, state);

	if (map_has(c->seen, str_c(key)))
		return NULL;
	map_set_c(c->seen, key, c);
	struct build_input *in = evaluation_add(c->out, kind, name);
	in->state = steal(&owned);
	return in;
}

static void place(struct build_input *in, const struct node *n)
{
	const struct source_range *where = &node_label(n)->where;

	if (!in || !where->file || !where->line)
		return;
	in->file = mem_strdup(where->file);
	in->line = where->line;
}

static char *image_name(const char *ref)
{
	AUTO(reference_fini) struct reference r = {0};
	struct err *e = reference_parse(ref, true, &r);

	if (e) {
		err_ignore(e, "it is shown as it is");
		return mem_strdup(ref);
	}
	if (r.tag)
		r.digest = (struct digest){0};
	return reference_familiar(&r);
}

static void add_source(struct collecting *c, const struct solved_node *n)
{
	const struct op *op = node_op(n->node);
	char text[DIGEST_TEXT_MAX];
	AUTO_FREE char *name = NULL;

	digest_text(&n->pin.digest, text);
	switch (op->kind) {
	case OP_IMAGE:
		name = image_name(op->image.ref);
		place(add_once(c, INPUT_IMAGE, name, mem_strdup(text)), n->node);
		break;
	case OP_HTTP:
		place(add_once(c, INPUT_URL, op->http.url, mem_strdup(text)), n->node);
		break;
	case OP_GIT: {
		const char *hash = n->pin.text ? strrchr(n->pin.text, '#') : NULL;
		name = mem_printf(
			"%s%s%s", op->git.url, op->git.ref ? "#" : "", op->git.ref ? op->git.ref : "");
		place(add_once(c, INPUT_GIT, name, mem_strdup(hash ? hash + 1 : text)), n->node);
		break;
	}
	default:
		break;
	}
}

/* "[build 2/5] RUN make": the number is another one as soon as a step is added above. */
static const char *unnumbered(const char *name)
{
	const char *end = *name == '[' ? strstr(name, "] ") : NULL;

	return end ? end + 2 : name;
}

static void add_step(struct collecting *c, const struct node *n)
{
	const struct node_label *label = node_label(n);
	const char *name = label->name ? unnumbered(label->name) : op_kind_name(node_op(n)->kind);
	struct build_input *in = evaluation_add(c->out, INPUT_STEP, name);

	in->state = op_json(node_op(n));
	place(in, n);
}

/* Where files of a local directory are for people: below the container's folder, or the repository. */
static char *file_name(const struct collecting *c, const char *local, const char *path)
{
	const struct build_request *rq = c->build->rq;
	const char *dir = strchr(local, ':') ? strchr(local, ':') + 1 : NULL;

	if (cstr_eq(local, "context"))
		return path_join(rq->display ? rq->display : "", path);
	if (cstr_starts(local, "context:"))
		return mem_printf("%s: %s", local, path);
	AUTO_FREE char *full = path_join(dir ? dir : local, path);
	size_t len = c->root ? strlen(c->root) : 0;
	if (len && cstr_starts(full, c->root) && full[len] == '/')
		return mem_strdup(full + len + 1);
	return steal(&full);
}

static struct err *add_files(struct collecting *c, const struct node *n, size_t i)
{
	AUTO(file_reads_fini) struct vec reads = VEC_OF(struct file_read);
	const struct step_io io = {0, c->build->rq->events, c->build->rq->cancel};
	const char *local = node_op(node_input(n, i))->local.name;

	TRY(local_reads(c->build->ex, n, i, &io, &reads));
	for (size_t k = 0; k < reads.len; k++) {
		struct file_read *r = vec_at(&reads, k);
		AUTO_FREE char *name = file_name(c, local, r->path);
		place(add_once(c, INPUT_FILE, name, steal(&r->state)), n);
	}
	return NULL;
}

/* Instructions that only change the config have no node. */
static void add_metadata(struct collecting *c)
{
	const struct build *b = c->build;
	const json_t *history = json_object_get(b->file.config, "history");

	for (size_t i = 0; i < b->file.history_lines.len; i++) {
		const json_t *entry = json_array_get(history, i);
		const char *text = json_string_value(json_object_get(entry, "created_by"));
		uint32_t line = *(uint32_t *)vec_at(&b->file.history_lines, i);
		if (!line || !text || !json_is_true(json_object_get(entry, "empty_layer")))
			continue;
		struct build_input *in = evaluation_add(c->out, INPUT_STEP, text);
		in->state = mem_strdup(text);
		in->file = mem_strdup(b->dockerfile_path);
		in->line = line;
	}
}

static void add_settings(struct collecting *c)
{
	int64_t epoch = c->build->epoch;

	if (epoch != FIXED_EPOCH)
		add_once(c, INPUT_SETTING, "SOURCE_DATE_EPOCH",
			mem_printf("%lld", (long long)(epoch / CLOCK_SECOND)));
	if (userns_one_id())
		add_once(c, INPUT_SETTING, "user ids", mem_strdup("one"));
}

static struct err *collect(struct collecting *c)
{
	const struct solved_node *n;

	for (size_t i = 0; (n = solve_result_at(c->build->solved, i)); i++) {
		if (op_is_source(node_op(n->node)->kind)) {
			add_source(c, n);
			continue;
		}
		add_step(c, n->node);
		for (size_t k = 0; k < node_input_count(n->node); k++) {
			const struct node *in = node_input(n->node, k);
			if (in && node_op(in)->kind == OP_LOCAL)
				TRY(add_files(c, n->node, k));
		}
	}
	add_metadata(c);
	add_settings(c);
	return NULL;
}

struct err *build_describe(struct build *b, const char *root, struct evaluation *out)
{
	AUTO(map_freep) struct map *seen = map_new(NULL);
	AUTO(evaluation_fini) struct evaluation e;
	struct collecting c = {.build = b, .root = root, .seen = seen, .out = &e};

	evaluation_init(&e);
	TRY(build_inputs_digest(b, &e.inputs));
	e.config = json_deep_copy(b->file.config);
	strvec_push_all(&e.annotations, b->rq->annotations);
	TRY(collect(&c));
	*out = e;
	evaluation_init(&e);
	return NULL;
}

struct err *build_evaluate(struct build *b, const char *root, struct evaluation *out)
{
	b->evaluate = true;
	TRY(build_solve(b, b->file.root, NULL, &b->solved));
	return build_describe(b, root, out);
}

static struct err *evaluate(struct build *b, struct evaluation *out)
{
	TRY(build_prepare(b));
	TRY(build_lower(b));
	return build_evaluate(b, NULL, out);
}

struct err *engine_evaluate(struct engine *e, const struct build_request *rq, struct evaluation *out)
{
	struct build b = {.engine = e, .rq = rq};
	struct err *failed = evaluate(&b, out);

	build_fini(&b);
	return failed;
}
