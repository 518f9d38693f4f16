/* Stands in for libnvinfer.so.11 and its parser: hands every call on to TensorRT-RTX's library.
 *
 * TensorRT 11's bindings and TensorRT-RTX's library agree on all that engines are built with, but
 * each asks for its own version number; what is handed on carries the library's. */
#include <dlfcn.h>
#include <stdint.h>

static void *find(const char *library, const char *name) {
  return dlsym(dlopen(library, RTLD_NOW | RTLD_GLOBAL), name);
}

static int32_t builder_version(void) {
  return ((int32_t (*)(void))find(BUILDER, "getInferLibVersion"))();
}

static int32_t parser_version(void) {
  return ((int32_t (*)(void))find(PARSER, "getNvOnnxParserVersion"))();
}

void *createInferBuilder_INTERNAL(void *logger, int32_t version) {
  (void)version;
  void *(*create)(void *, int32_t) = find(BUILDER, "createInferBuilder_INTERNAL");
  return create(logger, builder_version());
}

void *createInferRuntime_INTERNAL(void *logger, int32_t version) {
  (void)version;
  void *(*create)(void *, int32_t) = find(BUILDER, "createInferRuntime_INTERNAL");
  return create(logger, builder_version());
}

void *createNvOnnxParser_INTERNAL(void *network, void *logger, int32_t version) {
  (void)version;
  void *(*create)(void *, void *, int32_t) = find(PARSER, "createNvOnnxParser_INTERNAL");
  return create(network, logger, parser_version());
}

void *getPluginRegistry(void) { return ((void *(*)(void))find(BUILDER, "getPluginRegistry"))(); }

void *getBuilderPluginRegistry(int32_t capability) {
  return ((void *(*)(int32_t))find(BUILDER, "getBuilderPluginRegistry"))(capability);
}

int32_t getNvOnnxParserVersion(void) { return parser_version(); }

_Bool initLibNvInferPlugins(void *logger, const char *name_space) {
  (void)logger;
  (void)name_space;
  return 1;
}

/* Never called where engines are built. */
void *createInferRefitter_INTERNAL(void) { return 0; }
void *createNvOnnxParserRefitter_INTERNAL(void) { return 0; }
