// The TensorRT plugin as TensorRT would use it, without TensorRT: made by the creator of the
// library, asked what it supports, stored, restored, cloned, and run under the emulation.
#include <cuda_runtime_api.h>

using cudaEvent_t = void*;  // TensorRT's headers name it; nothing here uses it

#include <memory>

#include "plugin/attention_plugin.cu"
#include "plugin/plugin_library.cu"

namespace {

using namespace nvinfer1;

// Dimensions that are known: all that the plugin needs of an expression builder.
struct Number final : IDimensionExpr {
  explicit Number(std::int64_t number) : inner(number) { mImpl = &inner; }
  struct Inner final : apiv::VDimensionExpr {
    explicit Inner(std::int64_t number) : value(number) {}
    bool isConstant() const noexcept override { return true; }
    std::int64_t getConstantValue() const noexcept override { return value; }
    bool isSizeTensor() const noexcept override { return false; }
    std::int64_t value;
  } inner;
};

struct Builder final : IExprBuilder {
  Builder() { mImpl = &inner; }
  struct Inner final : apiv::VExprBuilder {
    const IDimensionExpr* constant(std::int64_t value) noexcept override {
      numbers.push_back(std::make_unique<Number>(value));
      return numbers.back().get();
    }
    const IDimensionExpr* operation(DimensionOperation op, const IDimensionExpr& a,
                                    const IDimensionExpr& b) noexcept override {
      const bool divides = op == DimensionOperation::kFLOOR_DIV;
      return divides ? constant(a.getConstantValue() / b.getConstantValue()) : nullptr;
    }
    const IDimensionExpr* declareSizeTensor(std::int32_t, const IDimensionExpr&,
                                            const IDimensionExpr&) override {
      return nullptr;
    }
    std::vector<std::unique_ptr<Number>> numbers;
  } inner;
};

IPluginCreatorV3One* creator() {
  std::int32_t count = 0;
  return static_cast<IPluginCreatorV3One*>(getCreators(count)[0]);
}

IPluginV3* create(std::int32_t heads, float scale) {
  PluginField fields[] = {{"heads", &heads, PluginFieldType::kINT32, 1},
                          {"scale", &scale, PluginFieldType::kFLOAT32, 1}};
  const PluginFieldCollection all{2, fields};
  return creator()->createPlugin("attention", &all, TensorRTPhase::kBUILD);
}

template <class Capability>
Capability* capability(IPluginV3& plugin, PluginCapabilityType type) {
  return static_cast<Capability*>(plugin.getCapabilityInterface(type));
}

PluginTensorDesc describe(DataType type, std::int64_t a, std::int64_t b, std::int64_t c) {
  PluginTensorDesc tensor{};
  tensor.dims = Dims{3, {a, b, c}};
  tensor.type = type;
  tensor.format = TensorFormat::kLINEAR;
  return tensor;
}

DataType type_of(int bfloat16) { return bfloat16 ? DataType::kBF16 : DataType::kHALF; }

}  // namespace

extern "C" {

// 1 when the creator makes a plugin of these fields.
int plugin_exists(int heads, float scale) {
  const std::unique_ptr<IPluginV3> plugin(create(heads, scale));
  return plugin != nullptr;
}

const char* plugin_name() { return creator()->getPluginName(); }

// The tactics for [1, 8, width] by a clone of what was configured; -1 when it refuses the shape.
int plugin_tactics(int heads, int width, int* tactics) {
  const std::unique_ptr<IPluginV3> plugin(create(heads, 0));
  auto* build = capability<IPluginV3OneBuild>(*plugin, PluginCapabilityType::kBUILD);
  DynamicPluginTensorDesc in{}, out{};
  in.desc = describe(DataType::kHALF, 1, 8, width);
  out.desc = describe(DataType::kHALF, 1, 8, width / 3);
  if (build->configurePlugin(&in, 1, &out, 1) != 0) return -1;
  const std::unique_ptr<IPluginV3> copy(plugin->clone());
  build = capability<IPluginV3OneBuild>(*copy, PluginCapabilityType::kBUILD);
  const int count = build->getNbTactics();
  return build->getValidTactics(tactics, count) == 0 ? count : -1;
}

// Bit 0: fp16 linear, bit 1: bf16 linear, bit 2: fp32, bit 3: another format, bit 4: mixed types.
int plugin_supports() {
  const std::unique_ptr<IPluginV3> plugin(create(6, 0));
  auto* build = capability<IPluginV3OneBuild>(*plugin, PluginCapabilityType::kBUILD);
  const auto supports = [&](DataType in, DataType out, TensorFormat format) {
    DynamicPluginTensorDesc tensors[2]{};
    tensors[0].desc = describe(in, 1, 8, 1152);
    tensors[1].desc = describe(out, 1, 8, 384);
    tensors[0].desc.format = format;
    return build->supportsFormatCombination(0, tensors, 1, 1) &&
           build->supportsFormatCombination(1, tensors, 1, 1);
  };
  constexpr auto kHalf = DataType::kHALF;
  return supports(kHalf, kHalf, TensorFormat::kLINEAR) |
         supports(DataType::kBF16, DataType::kBF16, TensorFormat::kLINEAR) << 1 |
         supports(DataType::kFLOAT, DataType::kFLOAT, TensorFormat::kLINEAR) << 2 |
         supports(kHalf, kHalf, TensorFormat::kCHW32) << 3 |
         supports(kHalf, DataType::kBF16, TensorFormat::kLINEAR) << 4;
}

// The last axis of the output for [batch, tokens, width].
int plugin_output_width(int heads, int width) {
  const std::unique_ptr<IPluginV3> plugin(create(heads, 0));
  auto* build = capability<IPluginV3OneBuild>(*plugin, PluginCapabilityType::kBUILD);
  const Number batch(2), tokens(17), columns(width);
  DimsExprs in{3, {&batch, &tokens, &columns}}, out{};
  Builder expressions;
  if (build->getOutputShapes(&in, 1, nullptr, 0, &out, 1, expressions) != 0) return -1;
  return static_cast<int>(out.d[2]->getConstantValue());
}

// Stores a plugin, restores it, attaches it and runs it: the way of a plan.
int plugin_run(const void* qkv, const void* bias, void* out, int bfloat16, int batch, int tokens,
               int heads, int head_dim, int bias_stride, float scale, int tactic) {
  const std::unique_ptr<IPluginV3> built(create(heads, scale));
  auto* storing = capability<IPluginV3OneRuntime>(*built, PluginCapabilityType::kRUNTIME);
  const std::unique_ptr<IPluginV3> restored(creator()->createPlugin(
      "attention", storing->getFieldsToSerialize(), TensorRTPhase::kRUNTIME));
  auto* loading = capability<IPluginV3OneRuntime>(*restored, PluginCapabilityType::kRUNTIME);
  const std::unique_ptr<IPluginV3> attached(loading->attachToContext(nullptr));
  auto* running = capability<IPluginV3OneRuntime>(*attached, PluginCapabilityType::kRUNTIME);
  if (running->setTactic(tactic) != 0) return 100;
  const DataType type = type_of(bfloat16);
  const PluginTensorDesc in[] = {describe(type, batch, tokens, 3 * heads * head_dim),
                                 describe(type, heads, tokens, bias_stride)};
  const PluginTensorDesc result = describe(type, batch, tokens, heads * head_dim);
  const void* inputs[] = {qkv, bias};
  void* outputs[] = {out};
  if (running->onShapeChange(in, bias != nullptr ? 2 : 1, &result, 1) != 0) return 101;
  return running->enqueue(in, &result, inputs, outputs, nullptr, nullptr);
}

}  // extern "C"
