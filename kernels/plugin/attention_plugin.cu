#include <cmath>
#include <cstring>
#include <new>

#include "attention_plugin.h"
#include "device/launch.cuh"

namespace framescore::plugin {
namespace {

using kernels::AttentionTile;
using kernels::Status;
using nvinfer1::DataType;

constexpr const char* kName = "FramescoreAttention";
constexpr const char* kVersion = "1";
constexpr const char* kNamespace = "framescore";
constexpr const char* kHeads = "heads";
constexpr const char* kScale = "scale";

constexpr AttentionTile kTiles[] = {AttentionTile::kRows128, AttentionTile::kRows64,
                                    AttentionTile::kRows32, AttentionTile::kRows16,
                                    AttentionTile::kRows16Resident};

constexpr std::int32_t kDone = 0, kRefused = 1;  // what TensorRT is told

bool runs_here(AttentionTile tile, int head_dim) {
  const std::size_t bytes = kernels::attention_shared_bytes(tile, head_dim);
  const auto limit =
      static_cast<std::size_t>(kernels::device::current_device_limits().shared_bytes_per_block);
  return bytes != 0 && bytes <= limit;
}

bool is_linear_half(const nvinfer1::PluginTensorDesc& tensor) {
  const bool half = tensor.type == DataType::kHALF || tensor.type == DataType::kBF16;
  return half && tensor.format == nvinfer1::TensorFormat::kLINEAR;
}

// A field's value, if it has the type and is one number.
template <class T>
bool read(const nvinfer1::PluginField& field, const char* name, nvinfer1::PluginFieldType type,
          T& value) {
  if (std::strcmp(field.name, name) != 0 || field.type != type || field.length != 1) return false;
  if (field.data == nullptr) return false;
  std::memcpy(&value, field.data, sizeof value);
  return true;
}

}  // namespace

AttentionPlugin::AttentionPlugin(const AttentionFields& fields)
    : fields_(fields),
      identity_("heads " + std::to_string(fields.heads) + " scale " + std::to_string(fields.scale)),
      serialized_{{kHeads, &fields_.heads, nvinfer1::PluginFieldType::kINT32, 1},
                  {kScale, &fields_.scale, nvinfer1::PluginFieldType::kFLOAT32, 1}},
      collection_{2, serialized_} {}

nvinfer1::IPluginCapability* AttentionPlugin::getCapabilityInterface(
    nvinfer1::PluginCapabilityType type) noexcept {
  switch (type) {
    case nvinfer1::PluginCapabilityType::kCORE:
      return static_cast<nvinfer1::IPluginV3OneCore*>(this);
    case nvinfer1::PluginCapabilityType::kBUILD:
      return static_cast<nvinfer1::IPluginV3OneBuild*>(this);
    case nvinfer1::PluginCapabilityType::kRUNTIME:
      return static_cast<nvinfer1::IPluginV3OneRuntime*>(this);
  }
  return nullptr;
}

nvinfer1::IPluginV3* AttentionPlugin::clone() noexcept {
  return new (std::nothrow) AttentionPlugin(*this);
}

const char* AttentionPlugin::getPluginName() const noexcept { return kName; }
const char* AttentionPlugin::getPluginVersion() const noexcept { return kVersion; }
const char* AttentionPlugin::getPluginNamespace() const noexcept { return kNamespace; }

int AttentionPlugin::head_dim(std::int64_t width) const noexcept {
  const std::int64_t parts = std::int64_t{3} * fields_.heads;
  return width > 0 && width % parts == 0 ? static_cast<int>(width / parts) : 0;
}

std::int32_t AttentionPlugin::configurePlugin(const nvinfer1::DynamicPluginTensorDesc* in,
                                              std::int32_t inputs,
                                              const nvinfer1::DynamicPluginTensorDesc*,
                                              std::int32_t outputs) noexcept {
  if ((inputs != 1 && inputs != 2) || outputs != 1 || in[0].desc.dims.nbDims != 3) return kRefused;
  configured_head_dim_ = head_dim(in[0].desc.dims.d[2]);
  const bool built = kernels::attention_shared_bytes(AttentionTile::kRows64, configured_head_dim_);
  return built ? kDone : kRefused;
}

std::int32_t AttentionPlugin::getOutputDataTypes(DataType* outputTypes, std::int32_t outputs,
                                                 const DataType* inputTypes,
                                                 std::int32_t inputs) const noexcept {
  if (inputs < 1 || outputs != 1) return kRefused;
  outputTypes[0] = inputTypes[0];
  return kDone;
}

std::int32_t AttentionPlugin::getOutputShapes(const nvinfer1::DimsExprs* in, std::int32_t inputs,
                                              const nvinfer1::DimsExprs*, std::int32_t,
                                              nvinfer1::DimsExprs* out, std::int32_t outputs,
                                              nvinfer1::IExprBuilder& expressions) noexcept {
  if (inputs < 1 || outputs != 1 || in[0].nbDims != 3) return kRefused;
  out[0] = in[0];
  out[0].d[2] = expressions.operation(nvinfer1::DimensionOperation::kFLOOR_DIV, *in[0].d[2],
                                      *expressions.constant(3));
  return kDone;
}

bool AttentionPlugin::supportsFormatCombination(std::int32_t position,
                                                const nvinfer1::DynamicPluginTensorDesc* tensors,
                                                std::int32_t, std::int32_t) noexcept {
  const nvinfer1::PluginTensorDesc& tensor = tensors[position].desc;
  return is_linear_half(tensor) && tensor.type == tensors[0].desc.type;
}

std::int32_t AttentionPlugin::getNbTactics() noexcept {
  std::int32_t count = 0;
  for (const AttentionTile tile : kTiles) count += runs_here(tile, configured_head_dim_);
  return count;
}

std::int32_t AttentionPlugin::getValidTactics(std::int32_t* tactics, std::int32_t count) noexcept {
  if (count != getNbTactics()) return kRefused;
  for (const AttentionTile tile : kTiles) {
    if (runs_here(tile, configured_head_dim_)) *tactics++ = static_cast<std::int32_t>(tile);
  }
  return kDone;
}

std::int32_t AttentionPlugin::setTactic(std::int32_t tactic) noexcept {
  if (tactic < 0 || tactic > static_cast<std::int32_t>(AttentionTile::kRows16Resident)) {
    return kRefused;
  }
  tile_ = static_cast<AttentionTile>(tactic);  // 0 is kAuto
  return kDone;
}

std::int32_t AttentionPlugin::onShapeChange(const nvinfer1::PluginTensorDesc* in,
                                            std::int32_t inputs,
                                            const nvinfer1::PluginTensorDesc* out,
                                            std::int32_t outputs) noexcept {
  if ((inputs != 1 && inputs != 2) || outputs != 1) return kRefused;
  if (in[0].dims.nbDims != 3 || out[0].dims.nbDims != 3) return kRefused;
  const std::int64_t width = in[0].dims.d[2];
  if (head_dim(width) == 0 || out[0].dims.d[2] != width / 3) return kRefused;
  if (inputs == 2) {
    const nvinfer1::Dims& bias = in[1].dims;  // [heads, tokens, stride]
    const bool fits =
        bias.nbDims == 3 && bias.d[0] == fields_.heads && bias.d[1] == in[0].dims.d[1];
    if (!fits) return kRefused;
  }
  inputs_ = inputs;
  return kDone;
}

kernels::AttentionShape AttentionPlugin::shape_of(const nvinfer1::PluginTensorDesc* in,
                                                  std::int32_t inputs) const noexcept {
  const bool half = in[0].type == DataType::kHALF;
  const int dim = head_dim(in[0].dims.d[2]);
  const float usual = dim > 0 ? 1.0f / std::sqrt(static_cast<float>(dim)) : 0.0f;
  kernels::AttentionShape shape{};
  shape.type = half ? kernels::DataType::kFloat16 : kernels::DataType::kBFloat16;
  shape.batch = static_cast<int>(in[0].dims.d[0]);
  shape.tokens = static_cast<int>(in[0].dims.d[1]);
  shape.heads = fields_.heads;
  shape.head_dim = dim;
  shape.scale = fields_.scale > 0 ? fields_.scale : usual;
  shape.bias_stride = inputs == 2 ? static_cast<int>(in[1].dims.d[2]) : 0;
  return shape;
}

// Neither allocates nor synchronises: fit for capture. More than 48 KB of shared memory is asked
// for by launch_attention, which CUDA allows while a graph is captured.
std::int32_t AttentionPlugin::enqueue(const nvinfer1::PluginTensorDesc* in,
                                      const nvinfer1::PluginTensorDesc*, const void* const* inputs,
                                      void* const* outputs, void*, cudaStream_t stream) noexcept {
  const void* bias = inputs_ == 2 ? inputs[1] : nullptr;
  const Status status = kernels::launch_attention(shape_of(in, inputs_), inputs[0], bias, nullptr,
                                                  outputs[0], stream, tile_);
  return status == Status::kOk ? kDone : static_cast<std::int32_t>(status);
}

nvinfer1::IPluginV3* AttentionPlugin::attachToContext(nvinfer1::IPluginResourceContext*) noexcept {
  return clone();
}

const nvinfer1::PluginFieldCollection* AttentionPlugin::getFieldsToSerialize() noexcept {
  return &collection_;
}

AttentionPluginCreator::AttentionPluginCreator()
    : names_{{kHeads, nullptr, nvinfer1::PluginFieldType::kINT32, 1},
             {kScale, nullptr, nvinfer1::PluginFieldType::kFLOAT32, 1}},
      collection_{2, names_} {}

// Null, which TensorRT reports, without a sensible number of heads.
nvinfer1::IPluginV3* AttentionPluginCreator::createPlugin(
    const char*, const nvinfer1::PluginFieldCollection* fields, nvinfer1::TensorRTPhase) noexcept {
  AttentionFields found;
  for (std::int32_t i = 0; fields != nullptr && i < fields->nbFields; ++i) {
    const nvinfer1::PluginField& field = fields->fields[i];
    read(field, kHeads, nvinfer1::PluginFieldType::kINT32, found.heads);
    read(field, kScale, nvinfer1::PluginFieldType::kFLOAT32, found.scale);
  }
  if (found.heads < 1 || !(found.scale >= 0)) return nullptr;
  return new (std::nothrow) AttentionPlugin(found);
}

const char* AttentionPluginCreator::getPluginName() const noexcept { return kName; }
const char* AttentionPluginCreator::getPluginVersion() const noexcept { return kVersion; }
const char* AttentionPluginCreator::getPluginNamespace() const noexcept { return kNamespace; }

}  // namespace framescore::plugin
