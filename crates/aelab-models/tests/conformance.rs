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
    linear: LinearConfig,
    stacked: StackedConfig,
    deep: DeepConfig,
    convolutional: ConvolutionalConfig,
    sparse: SparseConfig,
    k_sparse: KSparseConfig,
    top_k_sae: TopKSaeConfig,
    gated_sae: GatedSaeConfig,
    jump_relu_sae: JumpReluSaeConfig,
    denoising: DenoisingConfig,
    contractive: ContractiveConfig,
    masked: MaskedConfig,
    vae: VaeConfig,
    beta_vae: BetaVaeConfig,
    beta_tc_vae: BetaTcVaeConfig,
    factor_vae: FactorVaeConfig,
    dip_vae: DipVaeConfig,
    info_vae: InfoVaeConfig,
    iwae: IwaeConfig,
    vamp_vae: VampVaeConfig,
    conditional_vae: ConditionalVaeConfig,
    vq_vae: VqVaeConfig,
    hierarchical_vae: HierarchicalVaeConfig,
    wae: WaeConfig,
    adversarial: AdversarialConfig,
    rae: RaeConfig,
    lstm: LstmConfig,
    sequence_vae: SequenceVaeConfig,
    multi_decoder: MultiDecoderConfig,
    auto_rec: AutoRecConfig,
    mult_dae: MultDaeConfig,
    mult_vae: MultVaeConfig,
}

#[test]
fn every_registered_model_is_tested_under_its_own_name() {
    let registered: Vec<(&str, &str)> = MODELS.iter().map(|entry| (entry.name, entry.name)).collect();
    assert_eq!(TESTED, registered);
}
