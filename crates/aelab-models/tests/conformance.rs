//! The laws of `aelab_core::conformance`, for each model of the zoo.
//!
//! On `flex`; `AELAB_TEST_DEVICE=ndarray` with the feature `ndarray` runs them there.

#![allow(clippy::unwrap_used, reason = "a test may panic, and `allow-unwrap-in-tests` does not reach helper functions")]

mod common;

use aelab_core::ModelConfig;
use aelab_models::*;

use common::device;

/// A test module per model, and the list of them.
macro_rules! suite {
    ($($module:ident: $config:ty),* $(,)?) => {
        $(aelab_core::conformance!($module: $config, device());)*

        const TESTED: &[(&str, &str)] = &[$((stringify!($module), <$config>::NAME)),*];
    };
}

suite! {
    undercomplete: UndercompleteConfig,
    denoising: DenoisingConfig,
    vae: VaeConfig,
    convolutional: ConvolutionalConfig,
    deep: DeepConfig,
    lstm: LstmConfig,
    sequence_vae: SequenceVaeConfig,
    linear: LinearConfig,
    sparse: SparseConfig,
    contractive: ContractiveConfig,
    k_sparse: KSparseConfig,
    beta_vae: BetaVaeConfig,
    beta_tc_vae: BetaTcVaeConfig,
    dip_vae: DipVaeConfig,
    info_vae: InfoVaeConfig,
    hierarchical_vae: HierarchicalVaeConfig,
    multi_decoder: MultiDecoderConfig,
    auto_rec: AutoRecConfig,
    mult_dae: MultDaeConfig,
    mult_vae: MultVaeConfig,
    stacked: StackedConfig,
    top_k_sae: TopKSaeConfig,
    gated_sae: GatedSaeConfig,
    jump_relu_sae: JumpReluSaeConfig,
    factor_vae: FactorVaeConfig,
    wae: WaeConfig,
    adversarial: AdversarialConfig,
    rae: RaeConfig,
    iwae: IwaeConfig,
    masked: MaskedConfig,
    vamp_vae: VampVaeConfig,
    conditional_vae: ConditionalVaeConfig,
    vq_vae: VqVaeConfig,
}

#[test]
fn every_registered_model_is_tested_under_its_own_name() {
    let registered: Vec<(&str, &str)> = MODELS.iter().map(|entry| (entry.name, entry.name)).collect();
    assert_eq!(TESTED, registered);
}
