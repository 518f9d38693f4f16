// attention_plugin.h: packed-QKV attention as a TensorRT layer, by IPluginV3 (TensorRT 10.3 on).
//
//   inputs   qkv  [batch, tokens, 3 * heads * head_dim], fp16 or bf16: the QKV product as it is
//            bias [heads, tokens, stride] of the same type, optional; stride even, >= tokens
//   output        [batch, tokens, heads * head_dim]: what the projection reads
//   fields   heads int32; scale float32, 0 or absent for 1 / sqrt(head_dim)
//
// TensorRT times every tile of framescore/kernels/attention.h that the device can run, as tactics,
// and keeps the fastest for the engine's shapes.
#pragma once

#include <NvInferRuntime.h>

#include <cstdint>
#include <string>

#include "framescore/kernels/attention.h"

namespace framescore::plugin {

// What a plan stores.
struct AttentionFields {
  std::int32_t heads = 0;
  float scale = 0;
};

class AttentionPlugin final : public nvinfer1::IPluginV3,
                              public nvinfer1::IPluginV3OneCore,
                              public nvinfer1::IPluginV3OneBuild,
                              public nvinfer1::IPluginV3OneRuntime {
 public:
  explicit AttentionPlugin(const AttentionFields& fields);
  AttentionPlugin(const AttentionPlugin& other) : AttentionPlugin(other.fields_) {
    tile_ = other.tile_;
    configured_head_dim_ = other.configured_head_dim_;
    inputs_ = other.inputs_;
  }
  AttentionPlugin& operator=(const AttentionPlugin&) = delete;

  // IPluginV3
  nvinfer1::IPluginCapability* getCapabilityInterface(
      nvinfer1::PluginCapabilityType type) noexcept override;
  nvinfer1::IPluginV3* clone() noexcept override;

  // IPluginV3OneCore
  const char* getPluginName() const noexcept override;
  const char* getPluginVersion() const noexcept override;
  const char* getPluginNamespace() const noexcept override;

  // IPluginV3OneBuild
  std::int32_t configurePlugin(const nvinfer1::DynamicPluginTensorDesc* in, std::int32_t inputs,
                               const nvinfer1::DynamicPluginTensorDesc* out,
                               std::int32_t outputs) noexcept override;
  std::int32_t getOutputDataTypes(nvinfer1::DataType* outputTypes, std::int32_t outputs,
                                  const nvinfer1::DataType* inputTypes,
                                  std::int32_t inputs) const noexcept override;
  std::int32_t getOutputShapes(const nvinfer1::DimsExprs* in, std::int32_t inputs,
                               const nvinfer1::DimsExprs* shapeInputs, std::int32_t shapes,
                               nvinfer1::DimsExprs* out, std::int32_t outputs,
                               nvinfer1::IExprBuilder& expressions) noexcept override;
  bool supportsFormatCombination(std::int32_t position,
                                 const nvinfer1::DynamicPluginTensorDesc* tensors,
                                 std::int32_t inputs, std::int32_t outputs) noexcept override;
  std::int32_t getNbOutputs() const noexcept override { return 1; }
  std::int32_t getNbTactics() noexcept override;
  std::int32_t getValidTactics(std::int32_t* tactics, std::int32_t count) noexcept override;
  const char* getTimingCacheID() noexcept override { return identity_.c_str(); }

  // IPluginV3OneRuntime
  std::int32_t setTactic(std::int32_t tactic) noexcept override;
  std::int32_t onShapeChange(const nvinfer1::PluginTensorDesc* in, std::int32_t inputs,
                             const nvinfer1::PluginTensorDesc* out,
                             std::int32_t outputs) noexcept override;
  std::int32_t enqueue(const nvinfer1::PluginTensorDesc* in, const nvinfer1::PluginTensorDesc* out,
                       const void* const* inputs, void* const* outputs, void* workspace,
                       cudaStream_t stream) noexcept override;
  nvinfer1::IPluginV3* attachToContext(nvinfer1::IPluginResourceContext* context) noexcept override;
  const nvinfer1::PluginFieldCollection* getFieldsToSerialize() noexcept override;

 private:
  // Of an input's last axis, 3 * heads * head_dim elements.
  int head_dim(std::int64_t width) const noexcept;
  kernels::AttentionShape shape_of(const nvinfer1::PluginTensorDesc* in,
                                   std::int32_t inputs) const noexcept;

  AttentionFields fields_;
  kernels::AttentionTile tile_ = kernels::AttentionTile::kAuto;
  int configured_head_dim_ = 0;
  std::int32_t inputs_ = 1;
  std::string identity_;  // tells plugins with other fields apart in the timing cache
  nvinfer1::PluginField serialized_[2];
  nvinfer1::PluginFieldCollection collection_;
};

class AttentionPluginCreator final : public nvinfer1::IPluginCreatorV3One {
 public:
  AttentionPluginCreator();
  nvinfer1::IPluginV3* createPlugin(const char* name, const nvinfer1::PluginFieldCollection* fields,
                                    nvinfer1::TensorRTPhase phase) noexcept override;
  const nvinfer1::PluginFieldCollection* getFieldNames() noexcept override { return &collection_; }
  const char* getPluginName() const noexcept override;
  const char* getPluginVersion() const noexcept override;
  const char* getPluginNamespace() const noexcept override;

 private:
  nvinfer1::PluginField names_[2];
  nvinfer1::PluginFieldCollection collection_;
};

}  // namespace framescore::plugin
