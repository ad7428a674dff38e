/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of the API and what resolvers work with. */
#pragma once

#include "base/arena.h"
#include "base/map.h"
#include "base/vec.h"
#include "dagger/dagger.h"
#include "gql/execute.h"

#include <pthread.h>

/* ---- objects ---- */

#define ID_MAX 80

/* What all objects begin with. The call that made one is its identity. */
struct object {
	const char *type; /* "Container" */
	char id[ID_MAX];
	struct object *parent;
	const struct gql_field *field;
	char *args; /* canonical JSON */
	int item;   /* of a list that the field gives; -1: the field gives one */
	bool stored;
};

enum mount_form { FORM_DIRECTORY, FORM_FILE, FORM_CACHE, FORM_TEMP, FORM_SECRET, FORM_SOCKET };

struct container_mount {
	enum mount_form form;
	const char *path;   /* absolute, clean */
	struct node *node;  /* DIRECTORY, FILE; of CACHE the first content, or NULL */
	const char *source; /* path in node */
	const char *name;   /* cache key, socket path */
	const struct secret *secret;
	enum cache_sharing sharing;
	bool read_only;
	uint32_t mode;
	const char *owner; /* as container_owner gives it */
	uint64_t size;
};

struct container {
	struct object object;
	struct node *root; /* NULL: empty */
	json_t *config;    /* the image's whole document, without rootfs */
	char platform[128];
	struct vec mounts;          /* of struct container_mount */
	struct vec secret_env;      /* of struct secret_variable */
	struct strvec volatile_env; /* "K=V" */
	struct strvec annotations;  /* "K=V" */
	struct vec ports;           /* of struct exposed_port */
	struct vec services;        /* of struct service_binding */
	struct node *exec;          /* the last command, or NULL */
	const char *made_workdir;   /* the working directory that root is known to have */
	const char *image_ref;      /* only straight after from */
};
struct secret_variable {
	const char *name;
	const struct secret *secret;
};
struct exposed_port {
	int port;
	bool udp, skip_health;
	const char *description;
};
struct service;
struct running;
struct service_binding {
	const char *alias;
	struct service *service;
};

struct directory {
	struct object object;
	struct node *node; /* NULL: empty */
	const char *path;  /* of the directory in node; absolute, clean */
};
struct file {
	struct object object;
	struct node *node;
	const char *path;
};
struct secret {
	struct object object;
	const char *name; /* or */
	const char *uri;
	const char *id; /* under which steps find it; NULL: its value says (secret_ready) */
};
struct cache_volume {
	struct object object;
	const char *key;
	struct directory *source;
	enum cache_sharing sharing;
	const char *owner;
};
struct pair { /* EnvVariable, Label */
	struct object object;
	const char *name, *value;
};
struct port {
	struct object object;
	struct exposed_port port;
};
struct stat_facts {
	struct object object;
	const char *name, *type;
	int64_t size;
	unsigned permissions;
};
struct text { /* Address, Socket (path), JSONValue */
	struct object object;
	const char *text;
};
struct health {
	struct object object;
	json_t *check; /* Healthcheck of an image config, borrowed */
};
struct env_file {
	struct object object;
	struct strvec lines; /* "K=V" */
	bool expand;
};
struct git_repository {
	struct object object;
	const char *url;
	bool keep_git_dir;
	const char *auth_secret; /* id of the header's value, or NULL */
	struct service *service; /* that must run to reach it, or NULL */
};
struct git_ref {
	struct object object;
	const struct git_repository *repository;
	const char *ref;    /* "refs/tags/v1", a commit, "HEAD" */
	const char *commit; /* resolved */
};

/* ---- the session ---- */

struct dagger {
	struct session *session;
	struct event_stream *events;
	char *workdir;
	struct gql_schema *schema;
	struct object root;   /* Query */
	pthread_mutex_t lock; /* of what follows */
	struct arena *arena;  /* objects and what they point to */
	struct vec cleanups;  /* of struct cleanup: what the arena cannot free */
	struct map *objects;  /* id -> struct object */
	struct map *services; /* what it is -> struct running */
	struct map *bound;    /* digest of a step -> struct vec of the struct service * it needs */
	unsigned fresh;       /* counts what must not be shared */
	char nonce[17];       /* of this session alone */
};
struct cleanup {
	void (*fn)(void *);
	void *p;
};

/* ---- a call ---- */

struct call {
	struct dagger *d;
	const struct gql_field *field;
	struct object *self;
	const struct gql_value *args;
	size_t arg_count;
	const struct cancel *cancel;
	struct gql_out *out;  /* for scalars; NULL when an object is made again from its id */
	struct arena *arena;  /* until the resolver returns */
	struct object **made; /* what call_give was given */
	size_t made_count;
	bool made_list, made_null;
	struct running **held; /* services that run for this call */
	size_t held_count;
};
typedef struct err *dagger_resolver(struct call *c);

struct dagger_binding {
	const char *type, *field;
	dagger_resolver *resolve;
};
extern const struct dagger_binding dagger_bindings[]; /* ends with NULLs */
extern const char dagger_schema_text[];

/* ---- object.c ---- */

/* A cleared object of the session's life. */
void *object_new(struct call *c, const char *type, size_t size);
#define OBJECT_NEW(c, type, kind) ((struct kind *)object_new(c, type, sizeof(struct kind)))
/* Session-long copies. */
const char *keep_text(struct dagger *d, const char *s);
const char *keep_n(struct dagger *d, const char *p, size_t len);
void keep_cleanup(struct dagger *d, void (*fn)(void *), void *p);
/* The result: an object, a list of objects, nothing. */
void call_give(struct call *c, void *object);
void call_give_list(struct call *c, void *const *objects, size_t count);
/* Resolve one field: look the object up by what asks for it, else call. */
MUST_USE struct err *object_resolve(
	struct dagger *d, const struct gql_call *g, const struct cancel *cancel, struct gql_out *out);
/* The object of an id, of this session or an earlier one. type NULL: any. ERR_INVALID when it is of another
 * type. */
MUST_USE struct err *object_load(
	struct dagger *d, const char *id, const char *type, const struct cancel *cancel, void **out);
/* Make the id good for other sessions. */
MUST_USE struct err *object_store(struct dagger *d, struct object *o);

/* ---- args.c; strings live until the resolver returns ---- */

bool arg_given(const struct call *c, unsigned i);
const char *arg_text(struct call *c, unsigned i);     /* NULL if not given */
struct str arg_str(const struct call *c, unsigned i); /* empty if not given; borrowed of the query */
int64_t arg_int(const struct call *c, unsigned i, int64_t otherwise);
bool arg_flag(const struct call *c, unsigned i);
void arg_texts(const struct call *c, unsigned i, struct strvec *out);
const struct gql_value *arg_items(const struct call *c, unsigned i, size_t *count);
MUST_USE struct err *arg_object(
	struct call *c, unsigned i, const char *type, void **out); /* NULL if not given */
MUST_USE struct err *item_object(struct call *c, const struct gql_value *v, const char *type, void **out);
const char *value_text(struct call *c, const struct gql_value *v); /* of an argument's part */

/* ---- paths.c ---- */

/* path against base, clean, absolute; ".." stops at the root. Session-long. */
const char *path_at(struct dagger *d, const char *base, const char *path);
/* The same, but leaving base is an error. */
MUST_USE struct err *path_inside(struct dagger *d, const char *base, const char *path, const char **out);

/* ---- nodes.c: file operations as nodes ---- */

struct copy {
	struct node *from;          /* NULL: empty */
	const char *source;         /* absolute path in from */
	bool contents;              /* of a directory */
	bool dress_top;             /* dest looks like the directory source itself */
	const char *dest;           /* absolute */
	bool into;                  /* dest is a directory to put it into */
	const char *owner, *mode;   /* NULL: as they are */
	struct node *names;         /* root whose passwd knows owner; NULL: the base's */
	const char *const *include; /* NULL: all */
	const char *const *exclude;
};
MUST_USE struct err *node_copy(
	struct dagger *d, struct node *base, const struct copy *cp, const char *name, struct node **out);
MUST_USE struct err *node_actions(struct dagger *d, struct node *base, const struct file_action *actions,
	size_t count, const char *name, struct node **out);
/* The directory as a file system of its own. */
MUST_USE struct err *directory_root(struct dagger *d, const struct directory *dir, struct node **out);
const char *mode_text(struct call *c, int64_t mode); /* "0644"; NULL for a negative one */

/* ---- container_config.c ---- */

struct container *container_new(struct call *c, const char *platform);
/* A copy of self to be changed. */
struct container *container_copy(struct call *c);
static inline struct container *container_self(const struct call *c)
{
	return (struct container *)(void *)c->self;
}
json_t *container_settings(const struct container *ct); /* "config" of the document; made if absent */
void container_set_env(struct container *ct, const char *name, const char *value);
const char *container_workdir(const struct container *ct); /* absolute; "/" if unset */
/* text with $NAME and ${NAME} replaced if expand. Lives with the call. */
MUST_USE struct err *container_expand(
	struct call *c, const struct container *ct, const char *text, bool expand, const char **out);
/* The argument path, expanded if its flag says so, at the working directory. */
MUST_USE struct err *container_path(
	struct call *c, const struct container *ct, unsigned path_arg, int expand_arg, const char **out);
/* All exposed ports, sorted; of struct exposed_port. */
void container_ports(struct container *ct, struct vec *out);
struct port *port_new(struct call *c, const struct exposed_port *of);
/* A layer was made: an entry for it in the history. */
void container_history(struct call *c, struct container *ct, const char *what);
/* "user[:group]" as steps have it: without a group it is the user's number. "" or NULL: NULL. Session-long.
 */
const char *container_owner(struct call *c, const char *owner);
MUST_USE struct err *container_variant(struct container *ct, struct session_variant *out);

/* ---- container_mounts.c ---- */

/* The mount that path lies in, or NULL; *rest is the path in it. */
const struct container_mount *container_mount_of(
	const struct container *ct, const char *path, const char **rest);
/* Where a path of the container really is: the root or a mounted directory. */
MUST_USE struct err *container_locate(struct call *c, const struct container *ct, const char *path,
	struct node **node, const char **inside);

MUST_USE struct err *container_target(struct call *c, struct container *ct, const char *path,
	struct node **base, const char **inside, struct container_mount **mount);
MUST_USE struct err *container_mounts_after(struct call *c, struct container *ct);

/* ---- container_exec.c ---- */

/* argv as a step of ct with its settings, mounts and secrets. Used by services, too. */
MUST_USE struct err *container_step(struct call *c, struct container *ct, const struct strvec *argv,
	struct op_exec *op, const char *verb, struct node **out);
MUST_USE struct err *container_command(struct call *c, const struct container *ct, unsigned args,
	unsigned use_entrypoint, unsigned expand, struct strvec *argv);

/* ---- files ---- */

/* A view of where path of node is, for root_* calls. */
MUST_USE struct err *view_of(struct call *c, struct node *n, int *fd);
/* e of opening path, in the words that clients know. Returns an error. */
MUST_USE struct err *told_absence(struct err *e, const char *path);
MUST_USE struct err *stat_give(struct call *c, struct node *n, const char *path, bool follow);
MUST_USE struct err *exists_give(
	struct call *c, struct node *n, const char *path, const char *type, bool follow);
struct directory *directory_new(struct call *c, struct node *n, const char *path);
struct file *file_new(struct call *c, struct node *n, const char *path);
struct pair *pair_new(struct call *c, const char *type, const char *name, const char *value);
/* Where on this machine: relative to the working directory of the session. Lives with the call. */
const char *host_path(struct call *c, const char *path);
/* The directory dir of the host, filtered. */
MUST_USE struct err *host_directory_node(struct call *c, const char *dir, const struct strvec *include,
	const struct strvec *exclude, bool no_cache, struct node **out);

/* session_solve with the services it needs. */
MUST_USE struct err *call_solve(struct call *c, struct node *n, struct snapshot *out);
/* What the .gitignore files below path of n leave out, as patterns of ignore files, appended. */
MUST_USE struct err *gitignore_patterns(
	struct call *c, struct node *n, const char *path, bool wanted, struct strvec *out);
MUST_USE struct err *file_read_all(struct call *c, const struct file *f, struct buf *out);
/* A copy of f outside of the store; caller removes and frees *path. */
MUST_USE struct err *file_on_disk(struct call *c, const struct file *f, char **path);
/* Give the file called name of a directory of this machine. */
MUST_USE struct err *file_of_disk(struct call *c, const char *dir, const char *name);
/* Give a container from an image's address. */
MUST_USE struct err *container_of_address(struct call *c, const char *address);

/* A value of f without quotes, its variables replaced. */
const char *env_file_value(struct call *c, const struct env_file *f, const char *value);

/* ---- secrets ---- */

/* Make the value of s known to steps, which find it as *id (lives with the call). ERR_NOT_FOUND says which
 * one nobody knows. */
MUST_USE struct err *secret_ready(struct call *c, const struct secret *s, const char **id);
/* A secret that is read from uri. cache_key (NULL: none) is what it counts as instead of its value. */
MUST_USE struct err *secret_of_uri(
	struct call *c, const char *uri, const char *cache_key, struct secret **out);
MUST_USE struct err *secret_text(struct call *c, const struct secret *s, struct buf *out);

/* ---- services ---- */

/* n needs services. */
void services_bind(struct dagger *d, const struct node *n, struct service *const *services, size_t count);
/* "name=address" of those that ct is bound to, appended: their names, and what they are. */
void services_hosts(struct dagger *d, const struct container *ct, struct strvec *hosts);
/* Start what n and all it is made from are bound to, and wait until it answers. They run until the call ends
 * or asks for others. */
MUST_USE struct err *services_for(struct call *c, struct node *n);
/* The same for s; keep: until it is stopped. */
MUST_USE struct err *service_use(struct call *c, struct service *s, bool keep);
void services_release(struct call *c);
void services_stop(struct dagger *d);
