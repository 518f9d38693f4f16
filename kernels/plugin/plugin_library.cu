// plugin_library.cu: what TensorRT looks for in a plugin library (trtexec --dynamicPlugins,
// IPluginRegistry::loadLibrary). Nothing of libnvinfer is called, so the library loads without it.
#include "attention_plugin.h"

#define FRAMESCORE_EXPORT extern "C" __attribute__((visibility("default")))

FRAMESCORE_EXPORT void setLoggerFinder(nvinfer1::ILoggerFinder*) {}  // the plugin logs nothing

FRAMESCORE_EXPORT nvinfer1::IPluginCreatorInterface* const* getCreators(std::int32_t& count) {
  static framescore::plugin::AttentionPluginCreator attention;
  static nvinfer1::IPluginCreatorInterface* const creators[] = {&attention};
  count = 1;
  return creators;
}
