/* SPDX-License-Identifier: Apache-2.0 */
#include "solver/records.h"

#include "base/json.h"
#include "base/mem.h"

void recorded_run_fini(struct recorded_run *r)
{
	snapshot_fini(&r->result);
	for (size_t i = 0; i < r->inputs.len; i++) {
		struct recorded_input *in = vec_at(&r->inputs, i);
		snapshot_fini(&in->snapshot);
	}
	vec_fini(&r->inputs);
}

static bool layers_from_json(const json_t *o, struct snapshot *out)
{
	const json_t *list = json_object_get(o, "layers");

	if (!json_is_array(list))
		return false;
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *id = json_string_value(json_array_get(list, i));
		if (!id)
			return false;
		strvec_push(&out->layers, id);
	}
	return true;
}

struct err *record_get(struct store *s, const struct digest *key, struct snapshot *out, bool *found)
{
	AUTO_BUF struct buf value = {0};
	AUTO_JSON json_t *o = NULL;
	char name[DIGEST_TEXT_MAX];

	TRY(store_record_get(s, "cache", digest_hex(key, name), &value, found));
	if (!*found)
		return NULL;
	struct err *e = json_parse(buf_str(&value), "cache record", &o);
	if (e || !layers_from_json(o, out)) {
		err_ignore(e, "a record of another form is a miss");
		strvec_clear(&out->layers);
		*found = false;
	}
	return NULL;
}

static json_t *layers_to_json(const struct snapshot *s)
{
	return json_from_strings(strvec_list(&s->layers));
}

static char *run_to_json(const struct recorded_run *run)
{
	AUTO_JSON json_t *o = json_object();
	json_t *inputs = json_array();

	json_object_set_new(o, "layers", layers_to_json(&run->result));
	for (size_t i = 0; i < run->inputs.len; i++) {
		const struct recorded_input *in = vec_at(&run->inputs, i);
		json_t *j = json_object();
		char text[DIGEST_TEXT_MAX];
		if (digest_is_set(&in->digest))
			json_set_text(j, "digest", digest_text(&in->digest, text));
		else
			json_object_set_new(j, "layers", layers_to_json(&in->snapshot));
		json_array_append_new(inputs, j);
	}
	json_object_set_new(o, "inputs", inputs);
	return json_dump(o, false);
}

static struct err *put_both(struct store *s, const struct store_record *cache, const struct store_record *op)
{
	TRY(store_record_put(s, cache));
	return store_record_put(s, op);
}

struct err *record_put(
	struct store *s, const struct digest *op, const struct digest *key, const struct recorded_run *run)
{
	char name[DIGEST_TEXT_MAX], op_name[DIGEST_TEXT_MAX];
	AUTO_FREE char *op_key = mem_printf("%s/%s", digest_hex(op, op_name), digest_hex(key, name));
	AUTO_FREE char *op_value = run_to_json(run);
	AUTO_JSON json_t *o = json_object();
	size_t count = run->result.layers.len;
	AUTO_FREE struct store_ref *refs = mem_array(count + 1, sizeof(*refs));

	json_object_set_new(o, "layers", layers_to_json(&run->result));
	AUTO_FREE char *value = json_dump(o, false);
	for (size_t i = 0; i < count; i++)
		refs[i] = (struct store_ref){STORE_REF_LAYER, run->result.layers.ptr[i]};

	const struct store_record cache = {"cache", name, str_c(value), refs, count};
	const struct store_record by_op = {"op", op_key, str_c(op_value), refs, count};
	TRY(store_begin(s));
	struct err *e = put_both(s, &cache, &by_op);
	if (e) {
		store_rollback(s);
		return e;
	}
	return store_commit(s);
}

static bool run_from_json(const json_t *o, struct recorded_run *run)
{
	const json_t *inputs = json_object_get(o, "inputs");

	if (!layers_from_json(o, &run->result) || !json_is_array(inputs))
		return false;
	for (size_t i = 0; i < json_array_size(inputs); i++) {
		const json_t *j = json_array_get(inputs, i);
		struct recorded_input *in = vec_push(&run->inputs);
		const char *digest = json_string_value(json_object_get(j, "digest"));
		if (!digest) {
			if (!layers_from_json(j, &in->snapshot))
				return false;
			continue;
		}
		struct err *e = digest_parse(str_c(digest), &in->digest);
		if (e) {
			err_ignore(e, "a record of another form is a miss");
			return false;
		}
	}
	return true;
}

static struct err *collect(void *ctx, const struct store_record_row *row)
{
	struct vec *out = ctx;
	AUTO_JSON json_t *o = NULL;
	struct recorded_run run = {.inputs = VEC_OF(struct recorded_input)};
	struct err *e = json_parse(row->value, "operation record", &o);

	if (!e && run_from_json(o, &run)) {
		vec_push_copy(out, &run);
		return NULL;
	}
	err_ignore(e, "a record of another form is a miss");
	recorded_run_fini(&run);
	return NULL;
}

struct err *record_candidates(struct store *s, const struct digest *op, size_t max, struct vec *out)
{
	char name[DIGEST_TEXT_MAX];
	AUTO_FREE char *prefix = mem_printf("%s/", digest_hex(op, name));

	return store_record_each(s, "op", prefix, NULL, max, collect, out);
}
